"""A case in any of the 48 orientations, oblique or sheared, becomes the same canonical array at the same place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from scipy.spatial.transform import Rotation

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data.case import Case, FileVolume, load_canonical, save_canonical
from nnunet_prompt.prompts.frames import canonical_map, flip_permute
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT, with_flips

SHAPE = (4, 5, 3)
ARRAY = np.arange(60, dtype=np.float32).reshape(SHAPE) * 7 - 100
ORIENTATIONS = with_flips(EIGHT)


def oblique(spacing: tuple[float, float, float], degrees: float = 20) -> Any:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [degrees, -0.5 * degrees, 0.8 * degrees], degrees=True)
    affine[:3, :3] = turn.as_matrix() * spacing
    affine[:3, 3] = -31, 12, 57
    return affine


def stored(axes: Any, flips: Any, affine: Any) -> tuple[Any, Any]:
    """The same voxels at the same places, stored with other axes."""
    turn = flip_permute(axes, flips, SHAPE)
    return turn.apply(ARRAY), affine @ np.linalg.inv(turn.matrix())


def world_of_values(path: Path) -> dict[float, Any]:
    """Value of each voxel → its place in RAS mm, as ITK sees the file."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    places = {}
    for index in np.ndindex(*array.shape):
        x, y, z = image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
        places[float(array[index])] = np.array([-x, -y, z])
    return places


@each("spacing", [(1.5, 1.25, 8.0), (1.0, 1.1, 1.2)])
@each(("axes", "flips"), ORIENTATIONS)
def test_nnunet_reads_the_canonical_array(
    tmp_path: Path, axes: Any, flips: Any, spacing: tuple[float, float, float]
) -> None:
    base = oblique(spacing)
    array, affine = stored(axes, flips, base)
    loaded = load_canonical(Case("a", (array,), (array + 100).astype(int), affine=affine))
    expected = canonical_map(affine, array.shape).apply(array)
    np.testing.assert_array_equal(loaded.images[0], expected)
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label, expected + 100)

    path = tmp_path / "a_0000.nii.gz"
    save_canonical(path, loaded.images[0], loaded.affine)
    seen, properties = SimpleITKIO().read_images([str(path)])
    np.testing.assert_array_equal(seen[0], expected)
    np.testing.assert_allclose(
        properties["spacing"], np.linalg.norm(loaded.affine[:3, :3], axis=0), rtol=1e-5
    )
    places = world_of_values(path)
    for index in np.ndindex(*SHAPE):
        np.testing.assert_allclose(places[float(ARRAY[index])], (base @ [*index, 1])[:3], atol=1e-3)


def test_every_orientation_gives_one_array(tmp_path: Path) -> None:
    base = oblique((1.5, 1.25, 8.0))
    seen = []
    for axes, flips in ORIENTATIONS:
        array, affine = stored(axes, flips, base)
        seen.append(load_canonical(Case("a", (array,), affine=affine)))
    assert seen[0].images.shape == (1, 3, 5, 4)  # the thick axis first, then rows towards posterior
    for other in seen[1:]:
        np.testing.assert_array_equal(other.images, seen[0].images)
        np.testing.assert_allclose(other.affine, seen[0].affine, atol=1e-9)


def test_a_sheared_affine_is_still_read_by_itk(tmp_path: Path) -> None:
    affine = oblique((1.0, 1.1, 4.0))
    affine[:3, 2] += 0.4 * affine[:3, 0]  # gantry tilt
    loaded = load_canonical(Case("a", (ARRAY,), affine=affine))
    save_canonical(tmp_path / "a.nii.gz", loaded.images[0], loaded.affine)
    seen, _ = SimpleITKIO().read_images([str(tmp_path / "a.nii.gz")])
    np.testing.assert_array_equal(seen[0], loaded.images[0])
    sform = nib.load(tmp_path / "a.nii.gz").affine
    np.testing.assert_allclose(sform, loaded.affine[:, [2, 1, 0, 3]], atol=1e-5)


@each("shape", [(4, 5, 1), (1, 5, 4), (4, 1, 5), (1, 1, 1)])
def test_one_slice(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    affine = np.diag([1.5, 1.25, 8.0, 1.0])
    loaded = load_canonical(Case("a", (array,), affine=affine))
    save_canonical(tmp_path / "a.nii.gz", loaded.images[0], loaded.affine)
    seen, properties = SimpleITKIO().read_images([str(tmp_path / "a.nii.gz")])
    np.testing.assert_array_equal(seen[0], loaded.images[0])
    np.testing.assert_allclose(properties["spacing"], [8, 1.25, 1.5], rtol=1e-6)


@each(
    ("array", "dtype"),
    [([-5.0, 32767.0], np.int16), ([0.5, 1.0], np.float32), ([0.0, 40000.0], np.float32)],
)
def test_images_are_stored_without_loss(tmp_path: Path, array: Any, dtype: Any) -> None:
    image = np.array(array, np.float32).reshape(1, 1, 2)
    save_canonical(tmp_path / "a.nii.gz", image, np.eye(4))
    written = nib.load(tmp_path / "a.nii.gz")
    assert written.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(written.dataobj), image.transpose(2, 1, 0))


def write(path: Path, array: Any, affine: Any) -> Path:
    nib.Nifti1Image(np.asarray(array), affine).to_filename(path)
    return path


def test_files_and_channels(tmp_path: Path) -> None:
    affine = oblique((1, 1, 5), 0)
    four = write(tmp_path / "x.nii.gz", np.stack([ARRAY, ARRAY + 1], axis=3), affine)
    three = write(tmp_path / "y.nii.gz", ARRAY + 2, affine)
    broken = np.where(ARRAY == -100, np.nan, ARRAY)
    case = Case("a", (FileVolume(four, 0), FileVolume(four, 1), three, broken), affine=affine)
    loaded = load_canonical(case)
    turn = canonical_map(affine, SHAPE)
    for i, image in enumerate(loaded.images[:3]):
        np.testing.assert_array_equal(image, turn.apply(ARRAY + i))
    assert loaded.replaced == 1
    assert (loaded.images[3] == 0).sum() == 1
    assert loaded.label is None


def test_a_label_map_stored_in_another_orientation_is_turned_along(tmp_path: Path) -> None:
    affine = oblique((1.5, 1.25, 8.0))
    image = write(tmp_path / "image.nii.gz", ARRAY, affine)
    turned, own = stored((2, 0, 1), (True, False, True), affine)
    label = write(tmp_path / "label.nii.gz", turned + 100, own)
    loaded = load_canonical(Case("a", (image,), label))
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label, loaded.images[0] + 100)


def test_values_become_label_ids(tmp_path: Path) -> None:
    array = np.array([[[0, 500, 200, 2221]]])
    case = Case(
        "a", (array,), array, affine=np.eye(4), label_values={0: 0, 500: 1, 200: 2, 2221: 3}
    )
    loaded = load_canonical(case)
    assert loaded.label is not None
    by_value = dict(zip(loaded.images.ravel().tolist(), loaded.label.ravel().tolist(), strict=True))
    assert by_value == {0: 0, 500: 1, 200: 2, 2221: 3}
    with pytest.raises(DatasetError, match=r"case a: .* holds the label value 2221, expected only"):
        load_canonical(
            Case("a", (array,), array, affine=np.eye(4), label_values={0: 0, 500: 1, 200: 2})
        )


def test_grids_that_differ(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    other = np.zeros((5, 5, 3))
    with pytest.raises(
        ImageError, match=r"shape \(4, 5, 3\), .* \(5, 5, 3\): resample them to the same geometry"
    ):
        load_canonical(Case("a", (ARRAY, other), affine=affine))
    with pytest.raises(ImageError, match="resample the label map"):
        load_canonical(Case("a", (ARRAY,), other.astype(int), affine=affine))
    image = write(tmp_path / "image.nii.gz", ARRAY, affine)
    for shift_mm, fits in ((0.05, True), (0.5, False)):
        moved = affine.copy()
        moved[0, 3] = shift_mm
        label = write(tmp_path / "label.nii.gz", np.zeros(SHAPE, np.uint8), moved)
        if fits:
            load_canonical(Case("a", (image,), label))
        else:
            with pytest.raises(
                ImageError, match=r"image.nii.gz and .*label.nii.gz lie at different places"
            ):
                load_canonical(Case("a", (image,), label))


def test_cases_that_cannot_be_used() -> None:
    with pytest.raises(DatasetError, match="case a: it has no image"):
        load_canonical(Case("a", ()))
    with pytest.raises(ImageError, match="affine missing"):
        load_canonical(Case("a", (ARRAY,)))
    with pytest.raises(ImageError, match="three axes"):
        load_canonical(Case("a", (ARRAY[0],), affine=np.eye(4)))
    with pytest.raises(ImageError, match="labels must be integers"):
        load_canonical(Case("a", (ARRAY,), ARRAY, affine=np.eye(4)))
