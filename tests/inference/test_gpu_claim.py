"""Processes of one machine take different GPUs of a list, share them if there are too few, leave them when dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference import dask_cluster, gpu_claim
from nnunet_prompt.inference.gpu_claim import pin_gpu, visible_gpus
from nnunet_prompt.inference.options import PredictOptions
from tests.helpers.each import each

PROGRAM = """
import sys
from pathlib import Path
from nnunet_prompt.inference.gpu_claim import pin_gpu
import os
pin_gpu(Path(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def released(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No claim of an earlier test; those of this one end with it."""
    held: list[Any] = []
    monkeypatch.setattr(gpu_claim, "_held", held)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    yield
    for file in held:
        file.close()


def worker(folder: Path, devices: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def chosen(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_three_workers_and_two_gpus(tmp_path: Path) -> None:
    workers = [worker(tmp_path, "4,GPU-7a") for _ in range(3)]
    try:
        found = sorted(map(chosen, workers))
        assert len(set(found)) == 2 and len(found) == 3
        for process in workers:
            process.send_signal(signal.SIGKILL)
            process.wait()
        again = worker(tmp_path, "4,GPU-7a")
        workers.append(again)
        assert chosen(again) == "4"  # nobody holds it any more
    finally:
        for process in workers:
            process.kill()
            process.communicate()


def test_a_process_keeps_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert pin_gpu(tmp_path) == "2"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    assert pin_gpu(tmp_path) == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["2.0"]


@each(
    "named, expected",
    [
        ("", ()),
        ("-1", ()),
        ("1", ("1",)),
        ("3, 1,3", ("3", "1")),
        ("0,-1,2", ("0",)),  # CUDA stops at the first that is none
        ("GPU-ab,MIG-cd", ("GPU-ab", "MIG-cd")),
    ],
)
def test_visible_gpus(
    named: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == expected


def test_without_the_variable_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible_gpus() == ("0", "1", "2")


def test_without_a_gpu_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pin_gpu(tmp_path / "locks") is None
    assert not (tmp_path / "locks").exists()


def test_when_cuda_runs_it_is_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert pin_gpu(tmp_path) is None


def test_no_folder_for_locks(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NNUNetPromptError, match="no lock can be written there"):
        pin_gpu(tmp_path / "file" / "below")


@each("device, pinned", [("cuda", True), (None, True), ("cpu", False)])
def test_a_worker_pins_before_it_loads(
    device: Any, pinned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(dask_cluster, "pin_gpu", lambda: calls.append("pin"))
    monkeypatch.setattr(
        "nnunet_prompt.inference.predictor.PromptPredictor.from_folder",
        lambda *_: calls.append("load"),
    )
    monkeypatch.setattr(dask_cluster, "_opened", {})
    monkeypatch.setattr(dask_cluster, "fold_checkpoints", lambda *_: {})
    dask_cluster.open_model(tmp_path, PredictOptions(device=device))
    assert calls == (["pin", "load"] if pinned else ["load"])
