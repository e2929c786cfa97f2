"""An image reaches the network as nnU-Net's own reader hands it over, whatever the format and the orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

from nnunet_prompt.common.errors import ImageError, ModelError
from nnunet_prompt.data.case import save_canonical
from nnunet_prompt.data.plans_reader import WORLD, ImageReader
from nnunet_prompt.io.image_files import read_label_file, write_label_file
from nnunet_prompt.prompts.frames import canonical_map
from tests.helpers.each import each
from tests.helpers.orientations import ALL, EIGHT, codes

SHAPE, SPACING = (5, 4, 3), (1.0, 1.5, 4.0)
ORIENTATIONS = codes(EIGHT)


def nifti(path: Path, axes: str = "RAS", tilt: float = 0.0) -> Path:
    """A file whose axes grow towards `axes`, every voxel of another value, turned about x by `tilt` radians."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    c, s = np.cos(tilt), np.sin(tilt)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    affine[:3, 3] = (7, -3, 2)
    image = nib.Nifti1Image(array, affine)
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    image.as_reoriented(change).to_filename(path)
    return path


def as_nnunet(name: str, path: Path) -> tuple[npt.NDArray[Any], list[float]]:
    """What nnU-Net's reader makes of a file: (C, Z, Y, X), and its spacing."""
    data, properties = recursive_find_reader_writer_by_name(name)().read_images([str(path)])
    return data, list(properties["spacing"])


def as_ours(reader: ImageReader, path: Path) -> tuple[npt.NDArray[Any], list[float]]:
    volumes = reader.read(path)
    data = np.stack([reader.map(v).apply(v.array) for v in volumes])
    return data, list(reader.spacing(volumes[0]))


def check(name: str, path: Path) -> None:
    (expected, there), (found, here) = as_nnunet(name, path), as_ours(ImageReader(name), path)
    assert np.array_equal(found, expected)
    np.testing.assert_allclose(here, there, rtol=1e-5)


@each("name", WORLD)
@each("axes", ORIENTATIONS)
def test_nifti_in_every_orientation(name: str, axes: str, tmp_path: Path) -> None:
    check(name, nifti(tmp_path / "a_0000.nii.gz", axes))


@pytest.mark.slow
@each("name", WORLD)
@each("axes", codes(ALL))
def test_nifti_in_all_48(name: str, axes: str, tmp_path: Path) -> None:
    check(name, nifti(tmp_path / "a_0000.nii.gz", axes))


@each("name", WORLD)
@each("tilt", [0.3, 0.9, -1.2])
def test_nifti_that_is_oblique(name: str, tilt: float, tmp_path: Path) -> None:
    check(name, nifti(tmp_path / "a_0000.nii.gz", "ASL", tilt))


@each("name", WORLD)
@each("axes", ["RAS", "LPS", "SLA"])
@each("field", ["sform", "qform"])
def test_a_header_that_contradicts_itself(name: str, axes: str, field: str, tmp_path: Path) -> None:
    """Each reader takes what it takes: ITK's the qform, nibabel's the sform or pixdim."""
    image = nib.load(nifti(tmp_path / "x.nii", axes))
    other = image.affine.copy()
    other[:3, :3] /= np.abs(other[:3, :3]).max(0) * np.array([1, -1, 1])
    if field == "sform":  # axes of length one, as in ACDC, and one of them backwards
        image.header.set_qform(image.affine, 1)
        image.header.set_sform(other, 2)
    else:
        image.header.set_sform(image.affine, 2)
        image.header.set_qform(other, 1)
    header = image.header.copy()
    plain = nib.Nifti1Image(np.asarray(image.dataobj), None, header)
    plain.to_filename(tmp_path / "a_0000.nii")
    check(name, tmp_path / "a_0000.nii")


@each("name", ["SimpleITKIO", "SimpleITKIOWithReorient"])
@each("ending", [".nrrd", ".mha", ".gipl"])
@each("axes", ["RAS", "LPS", "SLA", "PIR"])
def test_itk_formats(name: str, ending: str, axes: str, tmp_path: Path) -> None:
    image = sitk.ReadImage(str(nifti(tmp_path / "a.nii.gz", axes)))
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    check(name, tmp_path / f"a{ending}")


@each("ending", [".mha", ".nii.gz"])
def test_a_flat_image_is_as_thick_as_nnunet_takes_it(ending: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
    image.SetSpacing((0.5, 2.0))
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    check("SimpleITKIO", tmp_path / f"a{ending}")


@each("ending", [".mha", ".nii.gz"])
def test_a_file_with_four_axes_holds_channels(ending: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5), False)
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    check("SimpleITKIO", tmp_path / f"a{ending}")
    assert ImageReader().channels(tmp_path / f"a{ending}") == 2


@each("shape", [(5, 6), (5, 6, 3), (5, 6, 4)])
@each("ending", [".png", ".tif"])
def test_natural_images(shape: tuple[int, ...], ending: str, tmp_path: Path) -> None:
    from skimage import io

    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    io.imsave(tmp_path / f"a_0000{ending}", pixels, check_contrast=False)
    check("NaturalImage2DIO", tmp_path / f"a_0000{ending}")
    (volume, *_) = ImageReader("NaturalImage2DIO").read(tmp_path / f"a_0000{ending}")
    flat = pixels.reshape(5, 6, -1)
    assert volume.shape == (6, 5, 1) and volume.array[5, 2, 0] == flat[2, 5, 0]  # column, row


@each("name", ["a_0000.tif", "a_0000.tiff"])
@each("spacing", [None, [3.0, 1.0, 0.5]])
def test_tiff(name: str, spacing: list[float] | None, tmp_path: Path) -> None:
    import json

    import tifffile

    voxels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    tifffile.imwrite(tmp_path / name, voxels)
    if spacing:
        (tmp_path / "a.json").write_text(json.dumps({"spacing": spacing}))
    check("Tiff3DIO", tmp_path / name)
    (volume,) = ImageReader("Tiff3DIO").read(tmp_path / name)
    assert volume.array[3, 1, 0] == voxels[0, 1, 3]


def test_a_tiff_of_any_name_finds_its_spacing(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "scan.tif", np.zeros((2, 3, 4), np.uint8))
    (tmp_path / "scan.json").write_text('{"spacing": [3.0, 1.0, 0.5]}')
    reader = ImageReader("Tiff3DIO")
    (volume,) = reader.read(tmp_path / "scan.tif")
    assert reader.spacing(volume) == (3.0, 1.0, 0.5)


class TestCanonical:
    @each("axes", ORIENTATIONS)
    @each("name", WORLD)
    def test_as_the_converted_file_is_read(self, name: str, axes: str, tmp_path: Path) -> None:
        """The network sees an image as it would see what a converter makes of it."""
        reader = ImageReader(name, "canonical")
        path = nifti(tmp_path / "a_0000.nii.gz", axes, tilt=0.2)
        (volume,) = reader.read(path)
        turn = canonical_map(volume.affine, volume.shape)
        affine = volume.affine @ np.linalg.inv(turn.matrix())
        converted = tmp_path / "c_0000.nii.gz"
        save_canonical(converted, turn.apply(volume.array), affine)
        expected, spacing = as_nnunet(name, converted)
        found, here = as_ours(reader, path)
        assert np.array_equal(found, expected)
        np.testing.assert_allclose(here, spacing, rtol=1e-5)

    def test_readers_that_do_not_turn_see_the_canonical_array(self, tmp_path: Path) -> None:
        (volume,) = ImageReader().read(nifti(tmp_path / "a.nii", "PIR"))
        expected = canonical_map(volume.affine, volume.shape)
        assert ImageReader("SimpleITKIO", "canonical").map(volume) == expected


class TestMasks:
    """A mask in the frame of the file comes back from nnU-Net's reader on the grid of its image."""

    @each("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".gipl"])
    def test_with_the_geometry_of_the_image(self, ending: str, tmp_path: Path) -> None:
        source, target = tmp_path / f"a{ending}", tmp_path / f"m{ending}"
        image = sitk.ReadImage(str(nifti(tmp_path / "x.nii", "SLA", 0.3)))
        sitk.WriteImage(image, str(source))
        reader = ImageReader()
        (volume,) = reader.read(source)
        labels = (volume.array * 40).astype(np.int32)
        write_label_file(target, labels, volume)
        written = sitk.ReadImage(str(target))
        assert np.array_equal(sitk.GetArrayFromImage(written).T, labels)
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            there, here = getattr(sitk.ReadImage(str(source)), name)(), getattr(written, name)()
            np.testing.assert_allclose(here, there, atol=1e-6)
        again = read_label_file(target)
        assert again.array.dtype == np.int32 and np.array_equal(again.array, labels)
        np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
        assert {p.name for p in tmp_path.iterdir()} == {source.name, target.name, "x.nii"}

    def test_a_flat_image_gets_a_flat_mask(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(np.arange(12, dtype=np.uint8).reshape(3, 4))
        sitk.WriteImage(image, str(tmp_path / "a.mha"))
        (volume,) = ImageReader().read(tmp_path / "a.mha")
        write_label_file(tmp_path / "m.mha", volume.array.astype(int), volume)
        assert sitk.ReadImage(str(tmp_path / "m.mha")).GetSize() == (4, 3)
        assert np.array_equal(read_label_file(tmp_path / "m.mha").array, volume.array)

    @each(("ending", "largest"), [(".png", 2221), (".bmp", 255), (".tif", 2221)])
    def test_natural_images(self, ending: str, largest: int, tmp_path: Path) -> None:
        from skimage import io

        io.imsave(tmp_path / f"a{ending}", np.eye(5, 6, dtype=np.uint8), check_contrast=False)
        (volume,) = ImageReader("NaturalImage2DIO").read(tmp_path / f"a{ending}")
        labels = volume.array.astype(np.int32) * (largest - 1)
        write_label_file(tmp_path / f"m{ending}", labels, volume)
        assert np.array_equal(io.imread(tmp_path / f"m{ending}"), labels[..., 0].T)
        assert np.array_equal(read_label_file(tmp_path / f"m{ending}").array, labels)

    def test_a_tiff_with_its_spacing_beside_it(self, tmp_path: Path) -> None:
        import json

        import tifffile

        tifffile.imwrite(tmp_path / "a_0000.tif", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
        (tmp_path / "a.json").write_text('{"spacing": [3.0, 1.0, 0.5]}')
        (volume,) = ImageReader("Tiff3DIO").read(tmp_path / "a_0000.tif")
        (tmp_path / "out").mkdir()
        passing = tmp_path / "out" / ".partial-7-m.tif"  # as on a cluster
        write_label_file(passing, volume.array.astype(int), volume, name="m.tif")
        passing.replace(tmp_path / "out" / "m.tif")
        assert json.loads((tmp_path / "out" / "m.json").read_text()) == {"spacing": [3.0, 1.0, 0.5]}
        assert np.array_equal(tifffile.imread(tmp_path / "out" / "m.tif").T, volume.array)
        again = read_label_file(tmp_path / "out" / "m.tif")
        np.testing.assert_array_equal(again.affine, volume.affine)
        assert {p.name for p in (tmp_path / "out").iterdir()} == {"m.tif", "m.json"}


class TestRefusals:
    def refused(self, reader: ImageReader, path: Path) -> str:
        with pytest.raises(ImageError) as caught:
            reader.read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    def test_a_reader_that_nnunet_does_not_have(self) -> None:
        with pytest.raises(ModelError, match=r"image_reader_writer is 'os'"):
            ImageReader("os")

    @each("name", ["a.png", "a.txt", "a"])
    def test_a_format_that_the_reader_does_not_know(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"x")
        said = self.refused(ImageReader(), tmp_path / name)
        assert ".nii.gz" in said and "SimpleITKIO" in said

    def test_nifti_for_a_model_of_pictures(self, tmp_path: Path) -> None:
        path = nifti(tmp_path / "a.nii.gz")
        reader = ImageReader("NaturalImage2DIO", ending=".png")
        assert ".png" in self.refused(reader, path)

    @each("ending", [".nrrd", ".mha", ".gipl", ".png", ".tif"])
    @each("part", [0, 10, 300])
    def test_half_a_file(self, ending: str, part: int, tmp_path: Path) -> None:
        natural = ending in (".png", ".tif")
        noise = np.random.default_rng(0).integers(0, 255, (1, 40, 50) if natural else (9, 40, 50))
        path = tmp_path / f"a{ending}"
        if ending == ".tif":
            import tifffile

            tifffile.imwrite(path, noise.astype(np.uint8))
        else:
            whole = sitk.GetImageFromArray(noise.astype(np.uint8)[0] if natural else noise)
            sitk.WriteImage(sitk.Cast(whole, sitk.sitkUInt8), str(path))
        path.write_bytes(path.read_bytes()[:part])
        name = {".png": "NaturalImage2DIO", ".tif": "Tiff3DIO"}.get(ending, "SimpleITKIO")
        self.refused(ImageReader(name, ending=ending), path)

    def test_colours(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), np.uint8), isVector=True)
        sitk.WriteImage(image, str(tmp_path / "a.mha"))
        assert "one real number per voxel" in self.refused(ImageReader(), tmp_path / "a.mha")

    def test_labels_that_are_none(self, tmp_path: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), 0.5)), str(tmp_path / "a.mha"))
        with pytest.raises(ImageError, match=r"must be integers, found 0\.5"):
            read_label_file(tmp_path / "a.mha")

    def test_labels_that_a_format_does_not_hold(self, tmp_path: Path) -> None:
        from skimage import io

        io.imsave(tmp_path / "a.bmp", np.eye(5, 6, dtype=np.uint8), check_contrast=False)
        (volume,) = ImageReader("NaturalImage2DIO").read(tmp_path / "a.bmp")
        for largest in (500, 70000):
            with pytest.raises(ImageError, match=r"a2\.bmp"):
                write_label_file(tmp_path / "a2.bmp", volume.array.astype(int) * largest, volume)
        assert [p.name for p in tmp_path.iterdir()] == ["a.bmp"]

    def test_what_is_not_finite_becomes_0_and_is_counted(self, tmp_path: Path) -> None:
        array = np.ones((2, 3, 4), np.float32)
        array[0, 1, 2] = np.nan
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.nrrd"))
        (volume,) = ImageReader().read(tmp_path / "a.nrrd")
        assert volume.replaced == 1 and volume.array[2, 1, 0] == 0
