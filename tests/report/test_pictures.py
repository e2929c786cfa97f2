"""Which slices of a case are shown, and what is in a picture."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunet_prompt.report.pictures import PictureJob, differing_slices, pictures_of, run_job
from tests.report.small import Small, label_map, save, write_small

pytestmark = pytest.mark.slow  # a whole product

NAMES = {500: "LV", 200: "scar"}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path)


@pytest.fixture
def job(small: Small) -> PictureJob:
    return PictureJob(
        "c4",
        small.labels / "c4.nii.gz",
        (small.masks / "c4.nii.gz",),
        small.images / "c4_0000.nii.gz",
        names=NAMES,
    )


def test_the_slices_that_differ_most_in_their_order() -> None:
    reference, found = np.zeros((8, 4, 4), np.int32), np.zeros((8, 4, 4), np.int32)
    reference[1:7, 1:3, 1:3] = 1
    found[:] = reference
    for k, area in ((2, 4), (5, 2), (6, 1)):
        found[k].flat[:area] = 3
    assert differing_slices(reference, [found], 2) == [2, 5]
    assert differing_slices(reference, [found], 5) == [1, 2, 3, 5, 6]  # filled up, in order
    assert differing_slices(reference, [found], 99) == [1, 2, 3, 4, 5, 6]  # never empty slices


def test_two_masks_are_compared_with_each_other() -> None:
    reference = np.zeros((4, 3, 3), np.int32)
    first, second = reference.copy(), reference.copy()
    first[1] = second[1] = 7  # both are wrong in the same way
    second[3, 0, 0] = 7
    assert differing_slices(reference, [first, second], 1) == [3]
    assert differing_slices(reference, [None], 5) == []


def test_a_picture_has_image_outlines_and_area(job: PictureJob) -> None:
    found = pictures_of(job)
    assert [p.number for p in found.slices] == [2, 3, 4, 5] and found.notes == ()
    one = found.slices[0]
    assert [o.name for o in one.reference] == ["LV"]  # scar is in slices 3 and 4
    assert {o.name for o in found.slices[1].reference} == {"LV", "scar"}
    assert one.differs_mm2 == (8 * 8 * 1.5**2,)  # moved by 4 voxels: 4 columns of 8 on either side
    kind, _, text = one.image.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert kind in ("data:image/webp", "data:image/png")
    assert image.size == (one.width, one.height)
    pixels = np.asarray(image.convert("L"), float)
    assert pixels.max() > 150 and pixels.std() > 30  # the structure is bright


def test_images_are_as_small_as_they_have_to_be(job: PictureJob) -> None:
    (large, *_), (tiny, *_) = (
        pictures_of(replace(job, most_bytes=most)).slices for most in (10**6, 1)
    )
    assert len(tiny.image) < len(large.image)
    assert (tiny.width, tiny.reference) == (large.width, large.reference)


def test_an_image_on_another_grid_is_left_out_with_its_reason(
    job: PictureJob, tmp_path: Path
) -> None:
    save(tmp_path / "other.nii.gz", np.zeros((5, 5, 5), np.float32))
    found = run_job(replace(job, image=tmp_path / "other.nii.gz"))
    assert len(found.slices) == 4 and found.slices[0].image == ""
    assert found.notes[0].startswith(f"no image: {tmp_path / 'other.nii.gz'}: must be on the grid")


def test_a_broken_file_costs_its_case_alone(job: PictureJob, tmp_path: Path) -> None:
    (tmp_path / "half.nii.gz").write_bytes(b"\x1f\x8b half")
    found = run_job(replace(job, predictions=(tmp_path / "half.nii.gz",)))
    assert found.slices == () and "half.nii.gz" in found.notes[0] and "\n" not in found.notes[0]


def test_a_case_without_mask_is_compared_with_an_empty_one(job: PictureJob) -> None:
    found = pictures_of(replace(job, predictions=(None,)))
    assert found.slices[0].predictions == ((),)
    assert found.slices[0].differs_mm2 == (64 * 1.5**2,)


def test_slices_run_along_the_stack_whatever_the_order_on_disk(tmp_path: Path) -> None:
    """The stack is axis 0 of this file."""
    import nibabel as nib

    array = np.moveaxis(label_map(), 2, 0)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 8, -1.5, -1.5, 1
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    found = pictures_of(PictureJob("a", tmp_path / "a.nii.gz", (tmp_path / "b.nii.gz",)))
    assert {p.of for p in found.slices} == {6} and found.slices[0].ratio == pytest.approx(1, 0.2)
