"""A conversion that is killed at any moment goes on, and ends in the bytes of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.slow  # starts programs
CASES = 30


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WHS download whose cases take some milliseconds each."""
    source = tmp_path_factory.mktemp("whs")
    rng = np.random.default_rng(0)
    label = np.zeros((48, 40, 24), np.int16)
    for k, value in enumerate((500, 600, 420, 550, 205, 820, 850)):
        label[6 * k : 6 * k + 4, 5:30, 4:20] = value
    for k in range(CASES):
        image = rng.normal(0, 100, label.shape).astype(np.float32)
        image[0, 0, : k % 3] = np.nan
        for part, array in (("image", image), ("label", label)):
            nib.Nifti1Image(array, np.eye(4)).to_filename(source / f"Case1{k:03d}_{part}.nii.gz")
    return source


def begin(download: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nnunet_prompt", "convert", "whs", str(download), "-d", "7"]
    variables = {"nnUNet_raw": str(root), "nnUNet_def_n_proc": "2"}
    root.mkdir(exist_ok=True)
    return subprocess.Popen(
        command,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C goes to all processes of a terminal's group
    )


def wait_for(running: subprocess.Popen[str], root: Path, files: int) -> None:
    """Waits until so many files are there, or the program has ended."""
    deadline = time.monotonic() + 120
    while running.poll() is None and len(list(root.glob("*/*/*.nii.gz"))) < files:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(download: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("undisturbed")
    running = begin(download, root)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    found = contents(root)
    assert len(found) == 2 * CASES + 3
    return found


def test_a_conversion_that_is_killed_goes_on(
    download: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    rng = np.random.default_rng()
    done = 0
    for _ in range(5):
        wanted = done + int(rng.integers(1, 2 * CASES // 5))
        running = begin(download, tmp_path / "raw")
        wait_for(running, tmp_path / "raw", wanted)
        time.sleep(float(rng.uniform(0, 0.02)))
        with suppress(ProcessLookupError):  # it may have ended by itself in the meantime
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=120)
        there = contents(tmp_path / "raw")
        whole = {name: data for name, data in there.items() if "/.partial-" not in name}
        # whatever has its name is complete
        assert {n: d for n, d in whole.items() if undisturbed[n] != d} == {}
        done = len(whole)
    running = begin(download, tmp_path / "raw")
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert contents(tmp_path / "raw") == undisturbed


def test_ctrl_c_stops_without_a_traceback(
    download: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    # a job in the background of a shell ignores it, and the process would inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = begin(download, tmp_path / "raw")
    signal.signal(signal.SIGINT, before)
    wait_for(running, tmp_path / "raw", 5)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors and errors.splitlines()[-1] == "nnunet-prompt: stopped"
    there = contents(tmp_path / "raw")
    assert 5 <= len(there) < len(undisturbed) and not any(".partial-" in name for name in there)
    running = begin(download, tmp_path / "raw")
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert contents(tmp_path / "raw") == undisturbed


@pytest.mark.parametrize(
    "leftover", ["dataset.json", "conversion_report.json", "imagesTr/Case1001_0000.nii.gz"]
)
def test_what_was_half_written_is_swept_away(
    download: Path, undisturbed: dict[str, bytes], tmp_path: Path, leftover: str
) -> None:
    for name, data in undisturbed.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith(("/dataset.json", leftover)):
            path.write_bytes(data)
    (folder,) = (tmp_path / "raw").iterdir()
    half = (folder / leftover).with_name(f".partial-9-{Path(leftover).name}")
    half.write_bytes(b'{"version":')
    running = begin(download, tmp_path / "raw")
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert contents(tmp_path / "raw") == undisturbed
