"""Images in memory and coordinates in mm give what paths and voxels give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.prompts.world import FromWorld
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, filled, predictor, stored

SIZE = {"S": 14, "P": 45, "L": 38}
BOX = Box((4, 6, 2), (10, 12, 5))
ANY: Any = None


def volume() -> NiftiVolume:
    return stored(size=SIZE)


def world(volume: NiftiVolume, voxel: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = (volume.affine @ (*voxel, 1))[:3]
    return float(x), float(y), float(z)


@pytest.fixture
def images(tmp_path: Path) -> list[Any]:
    one, path = volume(), tmp_path / "case.nii.gz"
    save_nifti(path, nib.Nifti1Image(one.array, one.affine))
    return [path, nib.load(path), sitk.ReadImage(str(path)), (one.array, one.affine)]


def test_images_of_every_form(images: list[Any]) -> None:
    expected = filled(volume(), BOX)
    for image in (*images, [images[1]], (images[3],)):
        session = PromptSession(predictor())
        session.set_image(image)
        session.add(BOX)
        assert np.array_equal(session.predict(), expected)
        assert np.array_equal(predictor().predict(image, {1: BOX}), expected)
    structures = predictor().predict_structures([volume()])
    assert structures.any()
    for image in images:
        assert np.array_equal(predictor().predict_structures(image), structures)


def test_an_array_with_its_spacing() -> None:
    array = volume().array
    model = predictor(orientation="file")
    found = model.predict((array, (1.25, 1.5, 4.0)), {"cavity": BOX})
    assert np.array_equal(found, 500 * filled(volume(), BOX).astype(int))


@each(("axes", "signs"), ORIENTATIONS[::6])
def test_mm_are_the_same_voxels(axes: tuple[str, ...], signs: tuple[int, ...]) -> None:
    image = stored(axes, signs)
    edges = [tuple(v - 0.5 for v in corner) for corner in ((3, 4, 2), (6, 5, 4))]
    by_mm, by_voxel = PromptSession(predictor()), PromptSession(predictor())
    for session in (by_mm, by_voxel):
        session.set_image(image)
    by_mm.add_point(world(image, (3, 4, 2)), 500, positive=False, space="world")
    by_mm.add_box(*(world(image, e) for e in edges), 500, space="world")
    by_mm.add_box(*(world(image, e) for e in edges[::-1]), 500, space="world")
    by_mm.add_scribble([world(image, (1, 2, 3)), world(image, (2, 2, 3))], 7, space="world")
    by_voxel.add_point((3, 4, 2), 500, positive=False)
    by_voxel.add_box((3, 4, 2), (6, 5, 4), 500)
    by_voxel.add_box((3, 4, 2), (6, 5, 4), 500)
    by_voxel.add_scribble([(1, 2, 3), (2, 2, 3)], 7)
    found, expected = by_mm.prompts.labels, by_voxel.prompts.labels
    for label in (500, 7):
        for kind in ("points", "boxes", "scribbles"):
            assert getattr(found[label], kind) == getattr(expected[label], kind)


def test_predict_with_prompts_in_mm() -> None:
    image = volume()
    low, high = world(image, (9.5, 11.5, 1.5)), world(image, (3.5, 5.5, 4.5))
    corners = np.sort([low, high], axis=0)
    box = Box(tuple(corners[0]), tuple(corners[1]))
    found = predictor().predict(image, {500: box}, space="world")
    assert np.array_equal(found > 0, filled(image, BOX))


def test_a_flat_box_takes_its_slice_and_a_large_one_ends_at_the_border() -> None:
    there = FromWorld(np.diag([2.0, 2, 5, 1]), (10, 10, 4))
    assert there.box((1, 1, 10), (9, 9, 10)) == Box((1, 1, 2), (5, 5, 3))
    assert there.box((-100, -100, -100), (100, 100, 100)) == Box((0, 0, 0), (10, 10, 4))
    mask = np.ones((10, 10, 4), bool)
    moved = there.prompts(PromptSet(points=(Point((2, 4, 5)),), mask=mask))
    assert moved.points == (Point((1, 2, 1)),) and moved.mask is mask
    assert there.prompts(PromptSet(scribbles=(Scribble(((2, 4, 5),), False),))).scribbles == (
        Scribble(((1, 2, 1),), False),
    )


def test_what_is_refused() -> None:
    session = PromptSession(predictor())
    with pytest.raises(NNUNetPromptError, match="call set_image first"):
        session.add_point((1, 2, 3), space="world")
    session.set_image(volume())
    with pytest.raises(PromptError, match=r"mm \(voxel .* outside the image.*RAS"):
        session.add_point((999, 0, 0), space="world")
    with pytest.raises(PromptError, match="mm lies outside the image"):
        session.add_box((999, 0, 0), (1000, 1, 1), space="world")
    for call in (
        lambda: session.add_point((1, 2, 3), space=ANY),
        lambda: session.add_box((1, 2, 3), (2, 3, 4), space="RAS"),  # type: ignore[arg-type]
        lambda: predictor().predict(volume(), {1: BOX}, space="mm"),  # type: ignore[arg-type]
    ):
        with pytest.raises(NNUNetPromptError, match="space: expected voxel or world"):
            call()
    assert session.prompts.labels == {}


def test_a_folder_and_a_device(tmp_path: Path) -> None:
    from nnunet_prompt.common.errors import ModelError
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor
    from tests.helpers.models import write_model_folder

    folder = write_model_folder(tmp_path / "model")
    session = PromptSession(folder, PredictOptions(use_mirroring=False), device="cpu")
    assert session.predictor.options == PredictOptions(use_mirroring=False, device="cpu")
    assert PromptPredictor(str(folder), device="cpu").options.device == "cpu"
    with pytest.raises(ModelError):
        PromptPredictor(tmp_path)
    with pytest.raises(NNUNetPromptError, match="device: expected cpu, cuda or mps"):
        PromptSession(folder, device="gpu")
