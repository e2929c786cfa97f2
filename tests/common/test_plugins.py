"""What other packages add by entry points; a broken package is one line and never in the way of others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.common.plugins import plugin, plugins
from nnunet_prompt.evaluation.evaluate import evaluate
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.results import format_table
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import CasePrompts, Point

CODE = """
import json, math
import numpy as np
from nnunet_prompt.common.errors import DatasetError

def convert(source, dataset_id, *, name=None):
    return source / f"Dataset{dataset_id}_{name}"

def refuse(source, dataset_id, *, name=None):
    raise DatasetError(f"{source}: no such layout")

def crash(*given, **named):
    raise KeyError("bug\\nin two lines")

def leave(*given, **named):
    raise SystemExit(3)

def voxels(reference, prediction, spacing_mm):
    assert reference.dtype == prediction.dtype == bool and len(spacing_mm) == 3
    return np.float32(prediction.sum() * math.prod(spacing_mm))

def endless(reference, prediction, spacing_mm):
    return math.inf

def text(reference, prediction, spacing_mm):
    return "good"

def read(path):
    return {"labels": json.loads(path.read_text())}

def read_wrong(path):
    return [1, 2]

number = 3
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes a distribution with entry points as pip would leave it, in a folder on `sys.path`."""
    plugins.cache_clear()

    def do(group: str, name: str = "fake_package", code: str = CODE, **entries: str) -> None:
        site = tmp_path / f"site_{name}"
        described = site / f"{name}-1.5.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = [f"{key.replace('DOT', '.')} = {value}" for key, value in entries.items()]
        listed = "\n".join([f"[nnunet_prompt.{group}]", *lines])
        (described / "entry_points.txt").write_text(listed + "\n")
        (site / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))
        plugins.cache_clear()

    yield do
    monkeypatch.undo()
    for name in ("fake_package", "heavy", "first", "second"):
        sys.modules.pop(name, None)
    plugins.cache_clear()


def test_none_is_installed_with_us(install: Install) -> None:
    del install
    assert plugins("converters") == plugins("metrics") == plugins("prompt_readers") == ()
    with pytest.raises(NNUNetPromptError, match="no installed package has one called 'x'"):
        plugin("converters", "x")


def test_a_converter(install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install("converters", mine="fake_package:convert", msd="fake_package:crash")
    assert main(["convert", "mine", str(tmp_path), "-d", "7", "--name", "X"]) == 0
    assert f"wrote {tmp_path / 'Dataset7_X'}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    shown = capsys.readouterr().out
    assert "from the package fake_package 1.5" in shown
    assert shown.count(" msd ") == 1  # ours stays ours


def test_help_lists_a_converter_without_importing_it(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("converters", "heavy", "raise RuntimeError('imported')", mine="heavy:convert")
    for arguments in (["convert", "--help"], ["convert", "mine", "--help"]):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("fake_package:crash", "failed (KeyError: 'bug\\nin two lines')"),
        ("fake_package:leave", "failed (SystemExit: 3)"),
        ("fake_package:gone", "cannot be imported (AttributeError: "),
        ("nowhere:convert", "cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        ("fake_package:number", "expected a function, found int"),
    ],
)
def test_a_broken_converter_is_one_line(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    entry: str,
    message: str,
) -> None:
    install("converters", mine=entry)
    assert main(["convert", "mine", str(tmp_path), "-d", "7"]) == 1
    told = capsys.readouterr().err
    assert message in told and "fake_package 1.5" in told
    assert "Traceback" not in told and told.count("\n") == 1


def test_errors_of_ours_stay_what_they_are(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("converters", mine="fake_package:refuse")
    assert main(["convert", "mine", str(tmp_path), "-d", "7"]) == 1
    assert capsys.readouterr().err == f"nnunet-prompt: error: {tmp_path}: no such layout\n"


REFERENCE = np.zeros((4, 4, 2), np.uint8)
REFERENCE[:2] = 1
MASK = np.zeros((4, 4, 2), np.uint8)
MASK[:1] = 1
SPACING = (1, 1, 2)


def test_metrics_are_columns(install: Install) -> None:
    install("metrics", voxels_mm3="fake_package:voxels", other="fake_package:endless")
    found = evaluate(REFERENCE, MASK, spacing_mm=SPACING, labels=[1, 9])
    assert found["cases"]["case"]["1"]["voxels_mm3"] == found["mean"]["1"]["voxels_mm3"] == 16.0
    assert found["mean"]["1"]["other"] is None and found["mean"]["9"]["voxels_mm3"] is None
    assert json.dumps(found, allow_nan=False)
    head, first, *_ = format_table(found).splitlines()
    assert head.split()[-2:] == ["other", "voxels_mm3"] and first.split()[-2:] == ["-", "16.000"]


def test_a_broken_metric_breaks_no_other(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(
        "metrics",
        a="fake_package:crash",
        b="fake_package:text",
        c="nowhere:metric",
        d="fake_package:voxels",
        dice="fake_package:endless",
    )
    found = evaluate(REFERENCE, MASK, spacing_mm=SPACING)["mean"]["1"]
    assert [found[name] for name in "abcd"] == [None, None, None, 16.0]
    assert found["dice"] == pytest.approx(2 / 3)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4 and all("fake_package 1.5" in line for line in told)
    assert not any("\n" in line for line in told)


def test_metrics_of_folders_are_warned_about_once(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    install("metrics", a="fake_package:crash", d="fake_package:voxels")
    for folder, array in (("labels", REFERENCE), ("masks", MASK)):
        (tmp_path / folder).mkdir()
        for case in ("x", "y"):
            image = nib.Nifti1Image(array, np.diag([*SPACING, 1.0]))
            nib.save(image, tmp_path / folder / f"{case}.nii.gz")
    found = evaluate_folders(tmp_path / "labels", tmp_path / "masks")
    assert found["mean"]["1"]["d"] == 16.0 and found["mean"]["1"]["a"] is None
    assert (capsys.readouterr().err + caplog.text).count("metrics 'a' of the package") == 1


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "case_001.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(np.ones((6, 8, 4), np.float32), np.eye(4)), path)
    return path


def read(path: Path, image: Path) -> CasePrompts:
    file = load_prompts(path).for_images({"case_001": image})
    return file.prompts("case_001", read_nifti(image))


def test_a_prompt_reader(install: Install, image: Path, tmp_path: Path) -> None:
    install("prompt_readers", DOTabc="fake_package:read")
    folder = tmp_path / "p"
    folder.mkdir()
    path = folder / "case_001.ABC"
    path.write_text('{"500": {"points": [[1, 2, 3]]}}')
    for given in (path, folder):
        assert read(given, image).labels[500].points == (Point((1, 2, 3)),)
    (folder / "case_001_LV.txt").write_text("no prompts")  # of no reader, as before
    assert list(read(folder, image).labels) == [500]


@pytest.mark.parametrize(
    ("entry", "text", "message"),
    [
        ("fake_package:crash", "{}", r"failed \(KeyError"),
        ("nowhere:read", "{}", r"cannot be imported \(ModuleNotFoundError"),
        ("fake_package:read_wrong", "{}", r"expected an object with labels or cases"),
        ("fake_package:read", '{"500": {"points": [[1, 2]]}}', r"case_001\.abc: labels\.500\.poin"),
        ("fake_package:read", '{"500": {"points": [[1, 2, 9]]}}', "outside the image"),
    ],
)
def test_a_broken_prompt_reader_is_one_line(
    install: Install, image: Path, tmp_path: Path, entry: str, text: str, message: str
) -> None:
    install("prompt_readers", DOTabc=entry, DOTjson="fake_package:crash")
    path = tmp_path / "case_001.abc"
    path.write_text(text)
    with pytest.raises(PromptFileError, match=message) as error:
        read(path, image)
    told = str(error.value)
    assert "\n" not in told and "case_001.abc" in told
    assert "fake_package 1.5" in told or "labels" in told
    own = tmp_path / "own.json"  # our own forms stay ours
    own.write_text(
        '{"format": "nnunet-prompt", "version": 1, "labels": {"7": {"points": [[1, 1, 1]]}}}'
    )
    assert list(read(own, image).labels) == [7]


def test_of_two_packages_with_one_name_the_first_counts(install: Install, tmp_path: Path) -> None:
    install("converters", "second", mine="second:convert")
    install("converters", "first", mine="first:convert")
    assert [p.distribution for p in plugins("converters")] == ["first 1.5"]


def test_a_verb_that_takes_no_plugin_looks_for_none(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    del install
    asked: list[Any] = []
    monkeypatch.setattr("nnunet_prompt.cli.arguments.plugins", asked.append)
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert not asked
