from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.convention import JsonConvention
from nnunet_prompt.challenge.prompts_json import read_prompts_json
from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts
from nnunet_prompt.challenge.submit import Trouble, run_cases, submit
from nnunet_prompt.data.nifti import NiftiVolume
from nnunet_prompt.errors import PromptError, PromptFileError
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.model import CasePrompts

SHAPE = (4, 6, 5)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class BoxFiller:
    """Predicts filled boxes on the file grid, and says too much: `stray` in every voxel of the rest."""

    def __init__(self, n_image_channels: int = 1, fails_at: float | None = None, stray: int = 9):
        self.n_image_channels = n_image_channels
        self.fails_at = fails_at
        self.stray = stray
        self.calls: list[tuple[list[str], CasePrompts]] = []

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[Any]:
        self.calls.append(([v.path.name for v in images], prompts))
        first = images[0]
        if first.array.flat[0] == self.fails_at:
            raise RuntimeError("out of memory\nat line 3")
        labels = np.full(first.shape, self.stray)
        back = pls_map(first.affine, first.shape).inverse()
        for label, one in prompts.labels.items():
            for box in back.prompts(one).boxes:
                inside = [slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True)]
                labels[tuple(inside)] = label
        return labels


def bricks() -> npt.NDArray[np.int16]:
    """Two labels that fill their boxes in every slice of every axis; the last slices are empty."""
    labels = np.zeros(SHAPE, np.int16)
    labels[0:2, 1:3, 1:4] = 500
    labels[2:3, 3:5, 0:4] = 2221
    return labels


def save(path: Path, array: npt.NDArray[Any], affine: Any = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


class Challenge:
    """INPUT, OUTPUT and hidden labels below a folder; the image of case i is filled with i."""

    def __init__(self, folder: Path, cases: Sequence[str], **options: Any) -> None:
        self.images, self.output = folder / "input" / "images", folder / "output"
        self.json = folder / "input" / "prompts.json"
        for i, case in enumerate(cases):
            save(folder / "labels" / f"{case}.nii.gz", bricks())
            save(self.images / f"{case}.nii.gz", np.full(SHAPE, i, np.float32))
        simulate_prompts(folder / "labels", self.json, options=SimulateOptions(**options))

    def edit(self, change: Any) -> None:
        content = json.loads(self.json.read_text())
        change(content)
        self.json.write_text(json.dumps(content))

    def run(self, predictor: Any = None, **options: Any) -> list[Trouble]:
        return run_cases(
            predictor or BoxFiller(),
            read_prompts_json(self.json),
            images=sorted(self.images.iterdir()),
            output_folder=self.output,
            **options,
        )

    def written(self) -> dict[str, Any]:
        return {p.name: np.asarray(nib.load(p).dataobj) for p in sorted(self.output.iterdir())}


@pytest.fixture
def two(tmp_path: Path) -> Challenge:
    return Challenge(tmp_path, ["a", "b"])


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_the_mask_is_on_the_grid_of_its_own_file(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...], degrees: float
) -> None:
    turn, affine = np.radians(degrees), np.eye(4)
    about_x = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    affine[:3, :3] = np.array(about_x) @ (np.eye(3)[list(axes)].T * signs * (1.0, 2.0, 8.0))
    affine[:3, 3] = (5, -7, 11)
    save(tmp_path / "images" / "a.nii.gz", np.zeros(SHAPE, np.float32), affine)
    simulate_prompts(save(tmp_path / "a.nii.gz", bricks(), affine), tmp_path / "prompts.json")
    troubles = run_cases(
        BoxFiller(),
        read_prompts_json(tmp_path / "prompts.json"),
        images=[tmp_path / "images" / "a.nii.gz"],
        output_folder=tmp_path / "out",
    )
    assert troubles == []
    image = nib.load(tmp_path / "out" / "a_pred.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), bricks())
    assert np.allclose(image.affine, affine, atol=1e-5)


@pytest.mark.parametrize("order", ["xy", "yx"])
@pytest.mark.parametrize(("base", "inclusive"), [(0, True), (1, False)])
def test_another_convention_gives_the_same_masks(
    tmp_path: Path, order: Any, base: Any, inclusive: bool
) -> None:
    challenge = Challenge(tmp_path, ["a"], order=order, base=base, inclusive=inclusive)
    assert challenge.run(convention=JsonConvention(order, base, inclusive)) == []
    assert np.array_equal(challenge.written()["a_pred.nii.gz"], bricks())


def test_every_case_gets_its_own_prompts(two: Challenge) -> None:
    two.edit(lambda content: content["b"].update({k: None for k in ("0", "1", "2")}))
    predictor = BoxFiller()
    assert two.run(predictor) == []
    a, b = two.written().values()
    assert np.array_equal(a, bricks())
    expected = bricks()
    expected[..., :3] = 0
    assert np.array_equal(b, expected)
    assert [names for names, _ in predictor.calls] == [["a.nii.gz"], ["b.nii.gz"]]


def test_only_null_slices_is_an_empty_mask_and_no_trouble(two: Challenge) -> None:
    two.edit(lambda content: content.update(b={str(k): None for k in range(5)}))
    assert two.run() == []
    assert not two.written()["b_pred.nii.gz"].any()


def test_an_image_without_prompts_gets_zeros_and_is_told(two: Challenge, capsys: Any) -> None:
    two.edit(lambda content: content.pop("b"))
    (trouble,) = two.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("b", "prompts", True)
    assert not two.written()["b_pred.nii.gz"].any()
    assert np.array_equal(two.written()["a_pred.nii.gz"], bricks())
    assert "warning: case 'b', prompts: prompts.json does not name it" in capsys.readouterr().err


def test_prompts_without_an_image_are_told(two: Challenge) -> None:
    (two.images / "b.nii.gz").unlink()
    (trouble,) = two.run()
    assert str(trouble) == "case 'b', prompts: prompts.json names it, but it has no image"
    assert list(two.written()) == ["a_pred.nii.gz"]


def test_a_failed_prediction_falls_back_to_the_boxes(two: Challenge, capsys: Any) -> None:
    (trouble,) = two.run(BoxFiller(fails_at=0))
    assert (trouble.case, trouble.stage) == ("a", "prediction")
    assert trouble.reason.startswith("RuntimeError: out of memory at line 3; its mask is from")
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())
    assert "Traceback" not in capsys.readouterr().err


def test_a_prediction_on_another_grid_falls_back(two: Challenge) -> None:
    def turned(images: Any, prompts: Any) -> npt.NDArray[Any]:
        return np.zeros(SHAPE[::-1], int)

    predictor = SimpleNamespace(n_image_channels=1, predict_prompts=turned)
    assert [t.stage for t in two.run(predictor)] == ["prediction", "prediction"]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_a_truncated_image_falls_back_to_the_boxes(tmp_path: Path) -> None:
    challenge = Challenge(tmp_path, ["a", "b"])
    path = challenge.images / "a.nii"
    (challenge.images / "a.nii.gz").unlink()
    save(path, np.zeros(SHAPE, np.float32))
    path.write_bytes(path.read_bytes()[:-100])
    (trouble,) = challenge.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "image", True)
    assert all(np.array_equal(mask, bricks()) for mask in challenge.written().values())


def test_an_unreadable_image_has_no_mask_and_stops_nobody(two: Challenge) -> None:
    (two.images / "a.nii.gz").write_bytes(b"no image")
    troubles = two.run()
    assert {t.case for t in troubles} == {"a"} and not troubles[-1].has_mask
    assert all("\n" not in str(t) for t in troubles)
    assert list(two.written()) == ["b_pred.nii.gz"]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        3,
        {"1": {"500": [[3, 1, 1, 3], []]}},
        {"1": {"500": [[0, 0, 99, 3], []]}},
        {"1": {"LV": [[0, 0, 1, 1], []]}},
        {"1": {"500": [[0, 0, float("nan"), 1], [[1, 1]]]}},
        {"99": {"500": [[0, 0, 1, 1], []]}},
    ],
)
def test_bad_prompts_of_one_case_are_told_and_the_rest_is_used(two: Challenge, bad: Any) -> None:
    two.edit(lambda content: content.update(a=bad))
    (trouble,) = two.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "prompts", True)
    assert trouble.reason.startswith("prompts.json: case 'a'")
    a, b = two.written().values()
    assert a.shape == SHAPE and set(np.unique(a)) <= {0, 500}
    assert np.array_equal(b, bricks())


def test_masks_that_are_there_are_kept_unless_overwritten(two: Challenge) -> None:
    kept = save(two.output / "a_pred.nii.gz", np.full(SHAPE, 3, np.int16))
    two.run()
    assert (two.written()[kept.name] == 3).all()
    two.run(overwrite=True)
    assert np.array_equal(two.written()[kept.name], bricks())
    assert [p.name for p in two.output.iterdir() if p.name.startswith(".")] == []


def test_myops_sequences_make_one_mask_on_the_grid_of_lge(two: Challenge, capsys: Any) -> None:
    for name in ("c_C0", "c_T2"):
        save(two.images / f"{name}.nii.gz", np.zeros((3, 3, 2), np.float32))
    (two.images / "a.nii.gz").rename(two.images / "c_LGE.nii.gz")
    two.edit(lambda content: content.update({"c_LGE.nii.gz": content.pop("a")}))
    assert two.run() == []
    assert list(two.written()) == ["b_pred.nii.gz", "c_pred.nii.gz"]
    assert np.array_equal(two.written()["c_pred.nii.gz"], bricks())
    assert "warning: case 'c': of c_C0.nii.gz, c_LGE.nii.gz" in capsys.readouterr().err


def test_channels_are_handed_over_in_order(two: Challenge) -> None:
    (two.images / "a.nii.gz").rename(two.images / "a_0001.nii.gz")
    (two.images / "b.nii.gz").rename(two.images / "a_0000.nii.gz")
    two.edit(lambda content: content.pop("b"))
    predictor = BoxFiller(n_image_channels=2)
    assert two.run(predictor) == []
    assert [names for names, _ in predictor.calls] == [["a_0000.nii.gz", "a_0001.nii.gz"]]
    assert list(two.written()) == ["a_pred.nii.gz"]


def test_a_missing_channel_or_another_size_falls_back(two: Challenge) -> None:
    (two.images / "a.nii.gz").rename(two.images / "a_0000.nii.gz")
    (two.images / "b.nii.gz").rename(two.images / "b_0000.nii.gz")
    save(two.images / "b_0001.nii.gz", np.zeros((2, 2, 2), np.float32))
    troubles = two.run(BoxFiller(n_image_channels=2))
    assert [(t.case, t.stage) for t in troubles] == [("a", "image"), ("b", "image")]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_a_fourth_axis_of_one_stays(two: Challenge) -> None:
    save(two.images / "a.nii.gz", np.zeros((*SHAPE, 1), np.float32))
    assert two.run() == []
    assert two.written()["a_pred.nii.gz"].shape == (*SHAPE, 1)


def test_voxels_that_are_not_finite_are_told(two: Challenge, capsys: Any) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[0, 0, :2] = np.nan
    save(two.images / "a.nii.gz", image)
    assert two.run() == []
    assert "a.nii.gz: 2 voxels are not finite" in capsys.readouterr().err


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Puts a box filler in the place of the real predictor; returns the models it was loaded from."""
    loaded: list[Path] = []

    class Fake(BoxFiller):
        @classmethod
        def from_folder(cls, model: Path, options: Any) -> Fake:
            loaded.append(model)
            return cls()

    module = ModuleType("predictor")
    module.PromptPredictor = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nnunet_prompt.inference.predictor", module)
    return loaded


def run_submit(challenge: Challenge, **options: Any) -> int:
    return submit(
        challenge.json.parent,
        challenge.output,
        model=Path("model"),
        options=SimpleNamespace(overwrite=True),  # type: ignore[arg-type]
        **options,
    )


def test_submit_loads_the_model_once(two: Challenge, loads: list[Path]) -> None:
    assert run_submit(two, strict=True) == 0
    assert loads == [Path("model")]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_submit_counts_degraded_cases_and_strict_refuses_them(
    two: Challenge, loads: list[Path]
) -> None:
    two.edit(lambda content: content.pop("b"))
    assert run_submit(two) == 1
    with pytest.raises(PromptError, match=r"--strict, and 1 case\(s\) are degraded: b"):
        run_submit(two, strict=True)
    assert list(two.written()) == ["a_pred.nii.gz", "b_pred.nii.gz"]


def test_submit_ends_with_an_error_when_an_image_has_no_mask(
    two: Challenge, loads: list[Path]
) -> None:
    (two.images / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(PromptError, match=r"1 case\(s\) have no mask: a"):
        run_submit(two)
    assert list(two.written()) == ["b_pred.nii.gz"]


def test_submit_checks_its_folder_before_it_loads_the_model(
    two: Challenge, loads: list[Path], tmp_path: Path
) -> None:
    two.json.write_text("{")
    with pytest.raises(PromptFileError, match=r"prompts\.json: broken JSON in line 1, column 2"):
        run_submit(two)
    two.json.unlink()
    with pytest.raises(PromptFileError, match="cannot be read"):
        run_submit(two)
    with pytest.raises(PromptError, match="no such folder"):
        submit(tmp_path, tmp_path, model=tmp_path, options=SimpleNamespace())  # type: ignore[arg-type]
    assert loads == []
