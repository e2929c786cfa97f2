"""Several readers: Dice among them and with the model, and the CRPS of volumes, by hand and by plain integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.stats import norm

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.crps import crps_curvas, crps_gaussian
from nnunet_prompt.evaluation.options import EvaluateOptions
from tests.helpers.each import each
from tests.helpers.schemas import check_form

READERS = [10.0, 12.0, 17.0]


def integral(function: Any, volume: float, low: float, high: float) -> float:
    """Of the squared distance between a distribution function and the step at `volume`, by the midpoint rule."""
    edges = np.linspace(low, high, 1_000_001)
    points = (edges[1:] + edges[:-1]) / 2
    return float(((function(points) - (points > volume)) ** 2).mean() * (high - low))


@each("volume", [3.0, 10.0, 12.9, 13.0, 20.0, 60.0])
def test_crps_is_the_integral(volume: float) -> None:
    mean, deviation = float(np.mean(READERS)), float(np.std(READERS))
    gaussian = norm(mean, deviation)
    expected = integral(gaussian.cdf, volume, -30, 90)
    assert crps_gaussian(volume, READERS) == pytest.approx(expected, abs=2e-4)
    known = np.linspace(gaussian.ppf(0.01), gaussian.ppf(0.99), 100)
    height = gaussian.cdf(known)

    def cut(y: Any) -> Any:
        return np.interp(y, known, height, left=0, right=1)

    expected = integral(cut, volume, mean - 3 * deviation, mean + 3 * deviation)
    assert crps_curvas(volume, READERS) == pytest.approx(expected, abs=5e-5)


def test_readers_who_agree() -> None:
    assert crps_gaussian(4.0, [4.0, 4.0]) == 0 and crps_gaussian(1.0, [4.0, 4.0]) == 3
    assert crps_curvas(1.0, [4.0, 4.0]) is None


def save(path: Path, count: int, value: int = 1, high: int = 10) -> None:
    """The first `count` of ten voxels of 1000 mm3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((high, 1, 1), np.uint8)
    array[:count] = value
    nib.save(nib.Nifti1Image(array, np.diag([10.0, 10.0, 10.0, 1.0])), path)


def run(root: Path, *more: str) -> tuple[int, dict[str, Any]]:
    output = root / "metrics.json"
    where = [str(root / "first"), str(root / "out"), "-o", str(output)]
    code = main(["evaluate", *where, "--readers", str(root / "b"), str(root / "c"), *more])
    if output.exists():
        check_form("metrics", output)
    return code, json.loads(output.read_text()) if output.exists() else {}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for folder, count in {"first": 4, "b": 6, "c": 4, "out": 6}.items():
        save(tmp_path / folder / "a.nii.gz", count)
    return tmp_path


def test_agreement(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, results = run(folders)
    found = results["readers"]["structures"]["1"]
    assert code == 0 and results["readers"]["names"] == ["first", "b", "c"]
    assert found["pairs"] == {"first & b": 0.8, "first & c": 1.0, "b & c": 0.8}
    assert found["model_with"] == {"first": 0.8, "b": 1.0, "c": 0.8}
    assert found["among_readers"] == found["model"] == pytest.approx(2.6 / 3)
    case = results["readers"]["cases"]["a"]["1"]
    assert case["volumes_ml"] == pytest.approx({"first": 4, "b": 6, "c": 4})
    assert found["crps_ml"] == pytest.approx(crps_gaussian(6, [4, 6, 4]))
    assert "dice_among_readers" in capsys.readouterr().out


def test_the_volume_of_probabilities(folders: Path) -> None:
    save(folders / "out" / "probabilities" / "a__1.nii.gz", 10, value=102)  # 0.4
    case = run(folders, "--probabilities", str(folders / "out"))[1]["readers"]["cases"]["a"]["1"]
    assert case["volume_of"] == "probabilities"
    assert case["model_volume_ml"] == pytest.approx(4.0)


def test_what_does_not_fit_costs_no_other_case(folders: Path) -> None:
    for case in ("lost", "odd"):
        for folder in ("first", "out", "b"):
            save(folders / folder / f"{case}.nii.gz", 4)
    save(folders / "c" / "odd.nii.gz", 4, high=9)
    code, results = run(folders)
    found = results["readers"]
    assert code == 1 and list(found["cases"]) == ["a"] and found["structures"]["1"]["n"] == 1
    assert found["failed"]["lost"] == "c: expected one label file, found 0"
    assert "must be on the grid" in found["failed"]["odd"] and results["counts"]["scored"] == 3


def test_a_reader_who_is_no_folder(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders, "--readers", str(folders / "nobody")) == (1, {})
    assert "nobody is not a folder" in capsys.readouterr().err
    with pytest.raises(NNUNetPromptError, match="readers: expected folders"):
        EvaluateOptions(readers=5)  # type: ignore[arg-type]
    assert EvaluateOptions(readers="b").readers == (Path("b"),)
