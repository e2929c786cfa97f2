from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.measures import measure_label_maps
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions
from nnunet_prompt.evaluation.processes import run_all
from nnunet_prompt.evaluation.results import EMPTY_RULE, METRICS, format_table
from tests.helpers.each import each
from tests.helpers.schemas import check_form

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (3, 4, 6)
DIAGONAL = 13.0  # of 3 x 1, 4 x 1 and 6 x 2 mm


class Folders:
    """A folder of labels and one of predictions, and short ways to fill them."""

    def __init__(self, root: Path) -> None:
        self.labels, self.predictions = root / "labels", root / "predictions"
        self.labels.mkdir()
        self.predictions.mkdir()

    def truth(self, name: str, array: npt.NDArray[Any], affine: Any = AFFINE) -> None:
        nib.save(nib.Nifti1Image(array, affine), self.labels / name)

    def predict(self, name: str, array: npt.NDArray[Any], affine: Any = AFFINE) -> None:
        nib.save(nib.Nifti1Image(array, affine), self.predictions / name)

    def evaluate(
        self, output: Any = None, options: EvaluateOptions | None = None, **given: Any
    ) -> dict[str, Any]:
        own = FolderOptions(**given)
        return evaluate_folders(
            self.labels, self.predictions, output, folder_options=own, options=options
        )


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def _map(**columns: int) -> npt.NDArray[np.uint8]:
    """A label map in which `c2=5` sets the voxel (1, 1, 2) to 5."""
    values = np.zeros(SHAPE, np.uint8)
    for name, value in columns.items():
        values[1, 1, int(name[1:])] = value
    return values


def test_the_form_of_the_result_and_of_the_file(folders: Folders, tmp_path: Path) -> None:
    folders.truth("heart.nii.gz", _map(c1=1, c2=1))
    folders.predict("heart.nii.gz", _map(c2=1, c3=1, c4=1, c5=1))
    output = tmp_path / "new" / "metrics.json"
    results = folders.evaluate(output=output)
    # distances 2 0 and 0 2 4 6 mm; at 95 % 1.9 and 5.7
    scores = {
        "dice": pytest.approx(1 / 3),
        "hd_mm": pytest.approx(6.0),
        "hd95_mm": pytest.approx(5.7),
        "assd_mm": pytest.approx(14 / 6),
        "volume_error": pytest.approx(1.0),
        "sensitivity": 0.5,
        "precision": 0.25,
        "abs_volume_error_ml": pytest.approx(0.004),  # two voxels of 2 mm3
        "volume_ml": pytest.approx(0.004),
        "predicted_volume_ml": pytest.approx(0.008),
        "nsd_1mm": pytest.approx(2 / 6),
        "nsd_2mm": pytest.approx(4 / 6),
        "nsd_3mm": pytest.approx(4 / 6),
    }
    assert results["cases"] == {"heart": {"1": scores}}
    assert results["mean"] == {"1": scores}
    weighed = {k: v for k, v in scores.items() if k[:2] in ("di", "hd", "as", "ns")}
    assert results["weighted"] == {"cases": {"heart": weighed}, "mean": weighed}
    assert results["conventions"]["tolerances_mm"] == [1.0, 2.0, 3.0]
    assert results["structures"] == {
        "1": {"name": None, "n": 1, "in_neither": 0, "only_label": 0, "only_prediction": 0}
    }
    assert results["counts"] == {
        "label_files": 1,
        "scored": 1,
        "missing": 0,
        "unmatched": 0,
        "failed": 0,
    }
    assert results["rules"] == {
        "missing": "error",
        "extra": "error",
        "empty": EMPTY_RULE,
        "names": None,
        "ignore_label": None,
    }
    assert not {"missing", "unmatched", "failed"} & results.keys()
    assert json.loads(output.read_text()) == results
    check_form("metrics", output)
    assert [path.name for path in output.parent.iterdir()] == ["metrics.json"]


@each("ending", [".nii.gz", ".nii", "_pred.nii.gz", "_pred.nii"])
def test_files_match_by_case(folders: Folders, ending: str) -> None:
    folders.truth("a.b_01.nii.gz", _map(c1=1))
    folders.predict(f"a.b_01{ending}", _map(c1=1))
    (folders.predictions / "plans.json").write_text("{}")
    (folders.predictions / "._a.b_01.nii.gz").write_text("left by macOS")
    results = folders.evaluate()
    assert list(results["cases"]) == ["a.b_01"]
    assert results["cases"]["a.b_01"]["1"]["dice"] == 1.0


def test_keys_are_all_values_on_disk_in_order(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=200, c2=30))
    folders.predict("a.nii.gz", _map(c1=200, c4=4))
    results = folders.evaluate()
    assert list(results["cases"]["a"]) == list(results["mean"]) == ["4", "30", "200"]
    extra, lost = results["cases"]["a"]["4"], results["cases"]["a"]["30"]
    assert extra["dice"] == lost["dice"] == 0.0
    assert extra["hd95_mm"] == lost["assd_mm"] == pytest.approx(DIAGONAL)
    assert (extra["volume_error"], lost["volume_error"]) == (None, -1.0)


def test_label_values_limit_and_fix_the_keys(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1, c2=2))
    folders.predict("a.nii.gz", _map(c1=1, c2=2))
    results = folders.evaluate(label_values=[2, 3])
    assert results["cases"]["a"]["2"]["dice"] == 1.0
    assert set(results["cases"]["a"]["3"].values()) == {None}
    assert set(results["mean"]["3"].values()) == {None}
    assert list(results["cases"]["a"]) == ["2", "3"]


def test_a_mean_leaves_out_what_is_undefined(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("a.nii.gz", _map(c1=1))
    folders.truth("b.nii.gz", _map())  # both empty: counts for nothing
    folders.predict("b.nii.gz", _map())
    folders.truth("c.nii.gz", _map())  # invented: counts, but has no volume error
    folders.predict("c.nii.gz", _map(c2=1))
    results = folders.evaluate(label_values=[1])
    assert results["mean"]["1"]["dice"] == 0.5
    assert results["mean"]["1"]["hd_mm"] == pytest.approx(DIAGONAL / 2)
    assert results["mean"]["1"]["volume_error"] == 0.0


def test_maps_without_any_label(folders: Folders, tmp_path: Path) -> None:
    folders.truth("a.nii.gz", _map())
    folders.predict("a.nii.gz", _map())
    results = folders.evaluate(output=tmp_path / "metrics.json")
    assert results["cases"] == {"a": {}}
    assert results["mean"] == results["structures"] == {}


def test_a_missing_prediction_scores_as_empty_and_is_named(
    folders: Folders, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("a.nii.gz", _map(c1=1))
    folders.truth("b.nii.gz", _map(c1=1))
    folders.predict("z.nii.gz", _map(c1=1))
    output = tmp_path / "metrics.json"
    results = folders.evaluate(output=output, missing="empty", extra="skip")
    assert results["missing"] == ["b"]
    assert results["unmatched"] == ["z"]
    assert "failed" not in results
    assert results["cases"]["b"]["1"]["dice"] == 0.0
    assert results["mean"]["1"]["dice"] == 0.5
    assert json.loads(output.read_text())["missing"] == ["b"]
    check_form("metrics", output)
    warnings = caplog.messages
    assert "b: no prediction, scored as empty" in warnings
    assert "z: no label file, not scored" in warnings


def _shape(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", np.zeros((3, 4, 5), np.uint8))
    return "labels/bad.nii.gz", "predictions/bad.nii.gz", "(3, 4, 6)", "(3, 4, 5)"


def _affine(folders: Folders) -> tuple[str, ...]:
    moved = AFFINE.copy()
    moved[0, 3] = 0.2
    folders.predict("bad.nii.gz", _map(c1=1), moved)
    return "labels/bad.nii.gz", "predictions/bad.nii.gz", "affine", "0.2]"


def _garbage(folders: Folders) -> tuple[str, ...]:
    (folders.predictions / "bad.nii.gz").write_bytes(b"no image")
    return ("predictions/bad.nii.gz",)


def _truncated(folders: Folders) -> tuple[str, ...]:
    path = folders.predictions / "bad.nii.gz"
    folders.predict("bad.nii.gz", np.random.default_rng(0).integers(0, 2, SHAPE, np.uint8))
    path.write_bytes(path.read_bytes()[:-40])
    return ("predictions/bad.nii.gz",)


def _probabilities(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", np.full(SHAPE, 0.25, np.float32))
    return "predictions/bad.nii.gz", "integers", "0.25"


def _two_files(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", _map(c1=1))
    folders.predict("bad_pred.nii.gz", _map(c1=1))
    return "predictions/bad.nii.gz", "predictions/bad_pred.nii.gz"


def _negative(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", -_map(c1=1).astype(np.int16))
    return "predictions/bad.nii.gz", "must be 0 or above", "-1", "not an image"


def _image(folders: Folders) -> tuple[str, ...]:
    shape = (10, 10, 10)
    folders.truth("bad.nii.gz", np.zeros(shape, np.uint8))
    folders.predict("bad.nii.gz", np.arange(1000, dtype=np.int16).reshape(shape))
    return "predictions/bad.nii.gz", "999 different values", "it is an image"


def _not_a_number(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", np.full(SHAPE, np.nan, np.float32))
    return "predictions/bad.nii.gz", "integers", "nan"


def _two_labels(folders: Folders) -> tuple[str, ...]:
    folders.truth("bad.nii", _map(c1=1))
    folders.predict("bad.nii.gz", _map(c1=1))
    return "labels/bad.nii", "labels/bad.nii.gz", "keep one"


def _four_axes(folders: Folders) -> tuple[str, ...]:
    folders.predict("bad.nii.gz", np.zeros((*SHAPE, 2), np.uint8))
    return "predictions/bad.nii.gz", "(3, 4, 6, 2)"


SPOILERS = (
    *(_shape, _affine, _garbage, _truncated, _probabilities, _two_files, _four_axes),
    *(_negative, _image, _not_a_number, _two_labels),
)


@each("spoil", SPOILERS)
def test_a_broken_case_is_told_and_the_others_go_on(
    folders: Folders, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for case in ("bad", "good"):
        folders.truth(f"{case}.nii.gz", _map(c1=1))
    folders.predict("good.nii.gz", _map(c1=1))
    told = spoil(folders)
    results = folders.evaluate()
    assert list(results["failed"]) == ["bad"]
    reason = results["failed"]["bad"]
    assert "\n" not in reason
    for part in told:
        assert part in reason
    assert list(results["cases"]) == ["good"]
    assert results["mean"]["1"]["dice"] == 1.0
    assert f"bad: not scored: {reason}" in caplog.messages


def test_a_case_for_which_memory_is_short_fails_alone(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in "ab":
        folders.truth(f"{case}.nii.gz", _map(c1=1))
        folders.predict(f"{case}.nii.gz", _map(c1=1))

    def scores(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr("nnunet_prompt.evaluation.case.measure_label_maps", measure_label_maps)
        raise MemoryError("no more")

    monkeypatch.setattr("nnunet_prompt.evaluation.case.measure_label_maps", scores)
    results = folders.evaluate()
    assert list(results["failed"]) == ["a"] and list(results["cases"]) == ["b"]
    assert "labels/a.nii.gz" in results["failed"]["a"] and "no more" in results["failed"]["a"]


def test_two_numberings_are_not_scored_as_a_bad_model(folders: Folders, tmp_path: Path) -> None:
    folders.truth("a.nii.gz", _map(c1=1, c2=2))
    folders.predict("a.nii.gz", _map(c1=232, c2=200))
    output = tmp_path / "metrics.json"
    with pytest.raises(
        NNUNetPromptError, match=r"share no value: .* hold 1, 2, the predictions 200, 232"
    ):
        folders.evaluate(output=output)
    assert not output.exists()
    assert folders.evaluate(label_values=[1])["mean"]["1"]["dice"] == 0.0
    folders.predict("a.nii.gz", _map())  # a model that finds nothing is just that
    assert folders.evaluate()["mean"]["1"]["dice"] == 0.0


def test_ignored_voxels_count_for_nothing(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1, c2=9, c3=9))
    folders.predict("a.nii.gz", _map(c1=1, c2=1, c3=4))
    results = folders.evaluate(names="1=LV,9=ignore")
    assert list(results["mean"]) == ["1"]
    assert results["mean"]["1"]["dice"] == 1.0
    assert results["rules"]["ignore_label"] == 9
    assert results["structures"]["1"]["name"] == "LV"


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_case_along(tmp_path: Path) -> None:
    jobs = ["good", "die", "fine"]
    found = list(run_all(_or_die, jobs, 2, died=lambda job: f"{job}: dead"))
    assert found == ["GOOD", "die: dead", "FINE"]


def _or_die(job: str) -> str:
    if job == "die":
        os._exit(3)
    return job.upper()


def test_affines_may_differ_by_rounding(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("a.nii.gz", _map(c1=1), AFFINE + 5e-4 * np.eye(4)[[0, 1, 2, 2]])
    assert "failed" not in folders.evaluate()


def test_floats_near_integers_are_labels(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=3))
    folders.predict("a.nii.gz", _map(c1=3).astype(np.float32) * np.float32(0.9999))
    assert folders.evaluate()["cases"]["a"]["3"]["dice"] == 1.0


def test_a_fourth_axis_of_one_is_dropped(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1)[..., None])
    folders.predict("a.nii.gz", _map(c1=1))
    assert folders.evaluate()["cases"]["a"]["1"]["dice"] == 1.0


def test_one_slice_scores_as_a_picture(folders: Folders) -> None:
    square = np.zeros((20, 20, 1), np.uint8)
    square[2:18, 2:18] = 1
    cut = square.copy()
    cut[2:5] = 0
    folders.truth("a.nii.gz", square)
    folders.predict("a.nii.gz", cut[..., 0])  # a flat file
    assert folders.evaluate()["cases"]["a"]["1"]["assd_mm"] > 0.5


def test_oblique_spacing_comes_from_the_affine(folders: Folders) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    affine = turn @ np.diag([1.0, 1.0, 7.0, 1.0])
    folders.truth("a.nii.gz", _map(c1=1), affine)
    folders.predict("a.nii.gz", _map(c3=1), affine)
    assert folders.evaluate()["cases"]["a"]["1"]["hd_mm"] == pytest.approx(14.0, abs=1e-4)


@pytest.mark.slow
def test_several_processes_give_the_same_result(folders: Folders) -> None:
    for case in "abc":
        folders.truth(f"{case}.nii.gz", _map(c1=1, c2=2))
        folders.predict(f"{case}_pred.nii.gz", _map(c1=1, c3=2))
    (folders.predictions / "c_pred.nii.gz").write_bytes(b"no image")
    assert folders.evaluate(num_processes=2) == folders.evaluate()


def test_a_folder_that_does_not_exist(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="nowhere is not a folder"):
        evaluate_folders(folders.labels, tmp_path / "nowhere")
    with pytest.raises(NNUNetPromptError, match="nowhere is not a folder"):
        evaluate_folders(tmp_path / "nowhere", folders.predictions)


def test_folders_without_a_common_case(folders: Folders) -> None:
    with pytest.raises(NNUNetPromptError, match="no NIfTI file and no NIfTI file"):
        folders.evaluate()
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("b.nii.gz", _map(c1=1))
    with pytest.raises(NNUNetPromptError, match=r"share no case.*a\.nii\.gz and b\.nii\.gz"):
        folders.evaluate()


@each(
    ("options", "told"),
    [
        ({"label_values": []}, "one or more"),
        ({"label_values": [0, 1]}, "background 0"),
        ({"label_values": "500"}, r"label_values: expected a list such as \[500, 200\], found"),
        ({"label_values": [1.5]}, "label_values: expected a whole number"),
        ({"label_values": [True]}, "label_values: expected a whole number"),
        ({"num_processes": 0}, "num_processes: expected a whole number from 1 on"),
        ({"num_processes": "2"}, "num_processes: expected a whole number from 1 on"),
        ({"missing": "ignore"}, "missing: expected error or empty or skip, found 'ignore'"),
        ({"extra": None}, "extra: expected error or skip, found None"),
        ({"output": 3}, "output: expected a path"),
    ],
)
def test_arguments_that_cannot_be_used(folders: Folders, options: Any, told: str) -> None:
    with pytest.raises(NNUNetPromptError, match=told):
        folders.evaluate(**options)


def test_an_output_that_is_a_folder_is_refused_before_the_work(folders: Folders) -> None:
    with pytest.raises(
        NNUNetPromptError, match=r"is a folder: give a file, such as .*metrics\.json"
    ):
        folders.evaluate(output=folders.labels)


def test_an_output_that_cannot_be_written(folders: Folders, tmp_path: Path) -> None:
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("a.nii.gz", _map(c1=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(NNUNetPromptError, match=r"metrics\.json cannot be written"):
        folders.evaluate(output=tmp_path / "file" / "metrics.json")


def test_the_table_of_means(folders: Folders) -> None:
    for case in "ab":
        folders.truth(f"{case}.nii.gz", _map(c1=1))
        folders.predict(f"{case}.nii.gz", _map(c1=1))
    folders.predict("b.nii.gz", _map(c1=1, c2=30))
    lines = format_table(folders.evaluate()).splitlines()
    assert lines[0].split() == ["label", "n", *METRICS, "nsd_1mm", "nsd_2mm", "nsd_3mm"]
    assert lines[1].split() == [
        "1",
        "2",
        "1.000",
        "0.000",
        "0.000",
        "0.000",
        "0.000",
        *["1.000"] * 3,
    ]
    lost = ["30", "1", "0.000", "13.000", "13.000", "13.000", "-", *["0.000"] * 3]
    assert lines[2].split() == lost
    assert len({len(line) for line in lines}) == 1


@each("name", ["names.json", "dataset.json"])
def test_the_file_of_the_names_is_an_input(folders: Folders, tmp_path: Path, name: str) -> None:
    folders.truth("heart.nii.gz", _map(c1=1))
    folders.predict("heart.nii.gz", _map(c1=1))
    names = tmp_path / name
    names.write_text(json.dumps({"labels": {"background": 0, "LV": 1}}))
    before = names.read_bytes()
    with pytest.raises(NNUNetPromptError, match=rf"{name}: is the input .* another place with -o"):
        folders.evaluate(output=names, names=names)
    assert names.read_bytes() == before


def test_values_that_occur_nowhere_are_refused(folders: Folders) -> None:
    folders.truth("a.nii.gz", _map(c1=1))
    folders.predict("a.nii.gz", _map(c2=2))
    with pytest.raises(NNUNetPromptError, match=r"expected values that occur, found 7, 9"):
        folders.evaluate(label_values=[7, 9])
    assert folders.evaluate(label_values=[2, 9])["mean"]["2"]["dice"] == 0.0
