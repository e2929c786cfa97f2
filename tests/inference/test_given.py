"""What a predictor and a session take, and how they refuse the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.inference.given import as_case_prompts, as_label, as_names, as_volumes
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from tests.helpers.each import each
from tests.helpers.nonsense import COORDINATES, NONSENSE, NUMBERS, TEXTS, refuses
from tests.helpers.predictors import TABLE, predictor, stored

BOX = Box((4, 6, 2), (10, 12, 5))
SIZE = {"S": 14, "P": 45, "L": 38}


def _session() -> PromptSession:
    session = PromptSession(predictor())
    session.set_image([stored(size=SIZE)])
    return session


@each("label", [500, 500.0, np.int32(500), "cavity", " cavity ", "500"])
def test_labels_by_value_and_name(label: Any) -> None:
    found = as_label(label, TABLE)
    assert found == 500 and type(found) is int
    assert as_label(7, TABLE) == 7  # of a model that does not know it: still something to point at


def test_what_is_no_label() -> None:
    refuses(lambda v: as_label(v, TABLE))
    told = (
        r"^label: no structure 'LV': this model knows cavity \(500\), wall \(200\), scar \(2221\)"
    )
    with pytest.raises(NNUNetPromptError, match=told):
        as_label("LV", TABLE)
    with pytest.raises(
        NNUNetPromptError, match=r"found True \(bool\); .*name of a structure, .*'cavity'"
    ):
        as_label(True, TABLE)


def test_names_of_structures() -> None:
    assert as_names("cavity") == ("cavity",) and as_names(500) == ("500",)
    assert as_names(["cavity", np.int64(200)]) == ("cavity", "200") and as_names(()) == ()
    refuses(as_names, [None, True, 2.5, b"x", [None], [True], {1: 2}, object()])


def test_prompts_of_a_case_from_a_dictionary() -> None:
    said = as_case_prompts({"cavity": BOX, 7: [(1, 2, 3), BOX]}, TABLE)
    assert said.labels[500].boxes == (BOX,)
    assert said.labels[7].points == (Point((1.0, 2.0, 3.0)),)
    assert as_case_prompts(said, TABLE) is said
    refuses(lambda v: as_case_prompts({500: v}, TABLE))
    with pytest.raises(NNUNetPromptError, match="each label once"):
        as_case_prompts({"cavity": BOX, 500: BOX}, TABLE)


def test_the_predictor_takes_what_is_clear() -> None:
    volume, model = stored(size=SIZE), predictor()
    expected = model.predict_prompts([volume], CasePrompts({500: PromptSet(boxes=(BOX,))}))
    assert expected.any()
    assert np.array_equal(model.predict_prompts(volume, {"cavity": BOX}), expected)
    one = model.predict_structures([volume], ["wall"])
    assert np.array_equal(model.predict_structures(volume, "wall"), one)


def test_the_predictor_refuses_the_rest() -> None:
    volume, model = stored(size=SIZE), predictor()
    empty = [v for v in NONSENSE if not (isinstance(v, dict) and not v)]
    refuses(lambda v: model.predict_prompts([volume], v), empty)
    refuses(lambda v: model.object_logits([volume], v), empty)
    refuses(lambda v: model.predict_prompts(v, {500: BOX}))
    refuses(lambda v: model.predict_structures([volume], v), [None, 7, "LV", [None], True])
    refuses(PromptPredictor)
    refuses(lambda v: PromptPredictor.from_folder("model", v))
    refuses(lambda v: PromptPredictor.from_folder(v))


def test_a_session_takes_what_is_clear() -> None:
    session = _session()
    session.add((15, 33, 11))
    session.add(np.array([15, 33, 11]), label="cavity")
    session.add_point([1, 2, 3], label=200, positive=False)
    session.add_box((4, 6, 2), [10, 12, 5], label=np.int64(200))
    session.add_scribble([(1, 1, 1), (2, 2, 2)], label="scar")
    session.add(np.zeros(stored(size=SIZE).shape, np.uint8), label=3)
    said = session.prompts.labels
    assert said[1].points == said[500].points == (Point((15.0, 33.0, 11.0)),)
    assert said[200].points == (Point((1.0, 2.0, 3.0), False),) and said[200].boxes == (BOX,)
    assert said[2221].scribbles == (Scribble(((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))),)
    assert said[3].mask is not None and said[3].mask.dtype == bool


def test_a_session_refuses_the_rest_and_keeps_what_it_has() -> None:
    session = _session()
    session.add(BOX)
    before = session.predict()
    refuses(session.add)
    refuses(lambda v: session.add(BOX, v))
    refuses(session.add_point)
    refuses(session.add_scribble)
    refuses(lambda v: session.add_box(v, (9, 9, 9)))
    refuses(lambda v: session.add_box((1, 1, 1), v))
    refuses(lambda v: session.add_point((1, 2, 3), positive=v), [1, 0, "yes", None, 500])
    refuses(session.set_image)
    refuses(PromptSession)
    refuses(lambda v: PromptSession(predictor(), v))
    with pytest.raises(NNUNetPromptError, match="every lower corner must be below"):
        session.add_box((10, 12, 5), (4, 6, 2))
    with pytest.raises(NNUNetPromptError, match=r"^point .* outside the image, .*\(38, 45, 14\)"):
        session.add_point((15, 33, 110))
    with pytest.raises(NNUNetPromptError, match=r"^box .* leaves the image"):
        session.add_box((1, 1, 1), (99, 2, 2))
    assert np.array_equal(session.predict(), before)


def test_images_from_paths(tmp_path: Path) -> None:
    volume = stored(size=SIZE)
    path = tmp_path / "case.nii.gz"
    save_nifti(path, nib.Nifti1Image(volume.array, volume.affine))
    for images in (path, str(path), [path], (read_nifti(path),), read_nifti(path)):
        (found,) = as_volumes(images)
        assert np.array_equal(found.array, volume.array)
    refuses(as_volumes, [*NUMBERS, *TEXTS[4:5], *COORDINATES, None, {}, [None], "\0", [3]])
    with pytest.raises(
        ImageError, match=r"\(array, affine\) or \(array, spacing\).* found ndarray"
    ):
        as_volumes(volume.array)


def _changed(volume: NiftiVolume, value: float) -> Any:
    array = volume.array.astype(np.float32)
    array[0, 0, 0] = value
    return array


@each(
    ("change", "told"),
    [
        (lambda v: {"array": _changed(v, np.nan)}, "found NaN or infinity"),
        (lambda v: {"array": _changed(v, -np.inf)}, "found NaN or infinity"),
        (lambda v: {"array": v.array.astype(complex)}, "three axes of real numbers"),
        (lambda v: {"array": v.array[0]}, r"three axes of real numbers, found ndarray of shape"),
        (lambda v: {"array": v.array[None]}, "three axes of real numbers"),
        (lambda v: {"array": v.array.tolist()}, "three axes of real numbers"),
        (lambda v: {"affine": np.eye(3)}, "4x4 affine"),
        (lambda v: {"affine": np.full((4, 4), np.nan)}, "4x4 affine"),
    ],
)
def test_volumes_that_no_model_can_take(change: Any, told: str) -> None:
    volume = stored(size=SIZE)
    with pytest.raises(ImageError, match=rf"case_0000\.nii\.gz: .*{told}") as error:
        predictor().place([replace(volume, **change(volume))])
    assert "\n" not in str(error.value)


NOT_BOOL = [v for v in NONSENSE if not isinstance(v, (bool, np.bool_))]
NOT_TEXT = [v for v in NONSENSE if not isinstance(v, str)]


@each(
    ("name", "values"),
    [
        (
            "folds",
            [(), "", "LV", -1, (0, -1), 1.5, True, {1: 2}, (0, None), np.zeros((2, 2)), b"0"],
        ),
        ("device", [*NOT_TEXT[1:], "", "LV", "gpu"]),
        ("step_size", [v for v in NONSENSE if not isinstance(v, np.float32)]),
        ("checkpoint", [*NOT_TEXT, ""]),
        ("window", NONSENSE),
        *((f, NOT_BOOL) for f in ("use_mirroring", "grow", "bfloat16")),
    ],
)
def test_options_that_are_none(name: str, values: list[Any]) -> None:
    refuses(lambda v: PredictOptions(**{name: v}), values)


@each(
    ("name", "values"),
    [
        ("num_parts", NONSENSE),
        ("part_id", [v for v in NONSENSE if v is False or not isinstance(v, int) or v != 0]),
        ("dask", NOT_TEXT[1:]),
        ("axes", [v for v in NONSENSE if v is not None]),
        ("convention", NONSENSE),
        *((f, NOT_BOOL) for f in ("overwrite", "verbose", "whole_names")),
    ],
)
def test_options_of_a_run_that_are_none(name: str, values: list[Any]) -> None:
    refuses(lambda v: RunOptions(**{name: v}), values)


def test_options_are_coerced() -> None:
    options = PredictOptions(folds=[np.int64(1), "all"], step_size=1)  # type: ignore[list-item]
    assert options.folds == (1, "all") and type(options.folds[0]) is int
    assert options.step_size == 1.0
    assert RunOptions(num_parts=np.int8(2)).num_parts == 2  # type: ignore[arg-type]
    assert PredictOptions(folds=("0",)).folds == ("0",)  # as the folder fold_0 has it
    assert PredictOptions(folds="all").folds == ("all",)  # type: ignore[arg-type]
