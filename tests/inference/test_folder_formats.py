"""Images of every format and reader to masks of the same format and grid, with prompts in voxels of their file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.prompts.types import Box
from tests.helpers.dicom import write_series
from tests.helpers.each import each
from tests.helpers.models import hand_made_dataset_json, hand_made_plans
from tests.helpers.predictors import TABLE, predictor

WORLD = ("SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient")
LOWER, UPPER = (2, 3, 1), (7, 6, 3)  # of the box, in voxels of the file: x, y, z
SHAPE = (13, 11, 6)


def model(name: str = "SimpleITKIO", ending: str = ".nii.gz", **changes: Any) -> PromptPredictor:
    """A model of that reader whose network gives back the box it is pointed at."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    changes.setdefault("orientation", "file")
    table = replace(TABLE, orientation=changes["orientation"])
    plans = PlansManager({**hand_made_plans(), "image_reader_writer": name})
    described = {**hand_made_dataset_json(table), "file_ending": ending}
    return predictor(plans=plans, dataset_json=described, **changes)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PromptPredictor]:
    """Makes a model and has it opened instead of a model folder."""

    def make(*args: Any, **changes: Any) -> PromptPredictor:
        made = model(*args, **changes)
        monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: made)
        return made

    return make


def voxels(shape: tuple[int, ...] = SHAPE) -> npt.NDArray[np.uint8]:
    """(X, Y, Z) without a zero, so that nothing is cropped."""
    return np.random.default_rng(0).integers(1, 200, shape).astype(np.uint8)


def write_itk(path: Path, axes: str = "LPS") -> Path:
    path.parent.mkdir(exist_ok=True)
    image = sitk.GetImageFromArray(voxels().T.copy())
    image.SetSpacing((1.25, 1.5, 4.0))
    image.SetOrigin((5, 6, 7))
    # axes of the file that grow towards `axes`: the array stays, its directions change
    directions = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        sign = 1 if letter in "LPS" else -1
        directions["RAI".find(letter) if sign < 0 else "LPS".find(letter), column] = sign
    image.SetDirection(directions.ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def prompts(path: Path, case: str, depth: tuple[int, int] = (LOWER[2], UPPER[2])) -> Path:
    box = {"lower": [*LOWER[:2], depth[0]], "upper": [*UPPER[:2], depth[1]]}
    said = {case: {"500": {"boxes": [box]}}}
    path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said}))
    return path


def box_in(shape: tuple[int, ...], value: int = 500) -> npt.NDArray[np.int32]:
    expected = np.zeros(shape, np.int32)
    expected[tuple(slice(a, min(b, n)) for a, b, n in zip(LOWER, UPPER, shape, strict=True))] = (
        value
    )
    return expected


WAYS = list(itertools.product(WORLD, ["file", "canonical"], ["LPS", "RAS", "SLA", "PIR", "IAR"]))


@each(("name", "orientation", "axes"), WAYS, fast=WAYS[::3])
def test_a_box_of_the_file_comes_back_on_the_file(
    name: str, orientation: str, axes: str, tmp_path: Path, use: Callable[..., PromptPredictor]
) -> None:
    use(name, orientation=orientation)
    image = write_itk(tmp_path / "in" / "a_0000.nii.gz", axes)
    file = prompts(tmp_path / "p.json", "a")
    predict_folder(image.parent, tmp_path / "out", model=tmp_path, prompts=file)
    mask = read_label_file(tmp_path / "out" / "a.nii.gz")
    # the network resamples where axes change places, so the box is met within a voxel of its border
    expected = box_in(SHAPE)
    wrong = mask.array != expected
    inner = np.zeros(SHAPE, bool)
    inner[1:9, 2:8, 0:5] = True
    assert (
        not wrong[~inner].any() and (mask.array * expected > 0).sum() > 0.5 * (expected > 0).sum()
    )


@each("ending", [".nrrd", ".mha", ".gipl"])
@each("single", [False, True])
def test_itk_formats(
    ending: str, single: bool, tmp_path: Path, use: Callable[..., PromptPredictor]
) -> None:
    use(ending=ending)
    image = write_itk(tmp_path / "in" / f"a_0000{ending}")
    source = image if single else image.parent
    file = prompts(tmp_path / "p.json", "a")
    predict_folder(source, tmp_path / "out", model=tmp_path, prompts=file)
    predict_folder(source, tmp_path / "all", model=tmp_path)
    written = sitk.ReadImage(str(tmp_path / "out" / f"a{ending}"))
    assert np.array_equal(sitk.GetArrayFromImage(written).T, box_in(SHAPE))
    for folder in ("out", "all"):
        there = sitk.ReadImage(str(tmp_path / folder / f"a{ending}"))
        np.testing.assert_allclose(there.GetSpacing(), (1.25, 1.5, 4.0), rtol=1e-6)
        np.testing.assert_allclose(there.GetOrigin(), (5, 6, 7), rtol=1e-6)
        # nnU-Net's own reader takes it for a label map of the image
        found, properties = recursive_find_reader_writer_by_name("SimpleITKIO")().read_seg(
            str(tmp_path / folder / f"a{ending}")
        )
        assert found.shape == (1, *SHAPE[::-1])
        np.testing.assert_allclose(properties["spacing"], (4.0, 1.5, 1.25), rtol=1e-6)


def test_a_prompt_mask_of_the_same_format(
    tmp_path: Path, use: Callable[..., PromptPredictor]
) -> None:
    from nnunet_prompt.data.plans_reader import ImageReader
    from nnunet_prompt.io.image_files import write_label_file
    from nnunet_prompt.prompts.channels import MASK
    from tests.helpers.predictors import Answers

    use(ending=".nrrd", network=Answers(MASK))
    image = write_itk(tmp_path / "in" / "a_0000.nrrd")
    (volume,) = ImageReader().read(image)
    write_label_file(tmp_path / "rough.nrrd", box_in(SHAPE), volume)
    said = {"a": {"500": {"mask": "rough.nrrd"}}}
    (tmp_path / "p.json").write_text(
        json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said})
    )
    predict_folder(image.parent, tmp_path / "out", model=tmp_path, prompts=tmp_path / "p.json")
    assert np.array_equal(read_label_file(tmp_path / "out" / "a.nrrd").array, box_in(SHAPE))


def test_a_picture(tmp_path: Path, use: Callable[..., PromptPredictor]) -> None:
    """A voxel of a PNG is (column, row, 0)."""
    from skimage import io

    use("NaturalImage2DIO", ".png", configuration="2d")
    (tmp_path / "in").mkdir()
    io.imsave(tmp_path / "in" / "a_0000.png", voxels((11, 13)), check_contrast=False)
    file = prompts(tmp_path / "p.json", "a", (0, 1))
    predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path, prompts=file)
    mask = io.imread(tmp_path / "out" / "a.png")
    expected = np.zeros((11, 13))
    expected[3:6, 2:7] = 500  # rows, columns
    assert np.array_equal(mask > 0, expected > 0) or (mask != expected).mean() < 0.15
    assert mask.shape == (11, 13) and set(np.unique(mask)) == {0, 500}
    assert mask[4, 4] == 500


def test_a_tiff(tmp_path: Path, use: Callable[..., PromptPredictor]) -> None:
    import tifffile

    use("Tiff3DIO", ".tif")
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a_0000.tif", voxels().T.copy())
    (tmp_path / "in" / "a.json").write_text('{"spacing": [4.0, 1.5, 1.25]}')
    file = prompts(tmp_path / "p.json", "a")
    predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path, prompts=file)
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "a.tif").T, box_in(SHAPE))
    assert json.loads((tmp_path / "out" / "a.json").read_text()) == {"spacing": [4.0, 1.5, 1.25]}


@each("names", [("a_0000.png",), ("a.png",), ("a_0000.png", "a_0001.png")])
def test_a_file_with_the_channels_of_the_model(
    names: tuple[str, ...], tmp_path: Path, use: Callable[..., PromptPredictor]
) -> None:
    from skimage import io

    made = use("NaturalImage2DIO", ".png", configuration="2d", n_image_channels=3)
    (tmp_path / "in").mkdir()
    for name in names:
        io.imsave(tmp_path / "in" / name, voxels((11, 13, 3)), check_contrast=False)
    seen: list[int] = []

    def place(images: Any, *, whole: bool = False) -> Any:
        seen.append(len(images))
        raise NNUNetPromptError("enough")

    object.__setattr__(made, "place", place)
    with pytest.raises(NNUNetPromptError, match="enough"):
        predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path)
    assert seen == [3 * len(names)]


def test_a_dicom_series(tmp_path: Path, use: Callable[..., PromptPredictor]) -> None:
    use("NibabelIOWithReorient")
    series = write_series(tmp_path / "in" / "p1", voxels((6, 11, 13)))
    predict_folder(series, tmp_path / "out", model=tmp_path)
    (mask,) = (tmp_path / "out").iterdir()
    assert mask.name == "p1.nii.gz"
    file = prompts(tmp_path / "p.json", "p1")
    predict_folder(series, tmp_path / "prompted", model=tmp_path, prompts=file)
    found = read_label_file(tmp_path / "prompted" / "p1.nii.gz").array
    assert found[4, 4, 2] == 500 and not found[9:].any() and not found[:, 8:].any()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    expected, written = reader.Execute(), sitk.ReadImage(str(mask))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(written, name)(), getattr(expected, name)(), atol=1e-5)


@each("axes", ["LPS", "SLA", "PIR"])
@each("name", WORLD)
def test_prompts_in_pls(name: str, axes: str, tmp_path: Path) -> None:
    """As `submit` gives them: the same box, the same mask."""
    from nnunet_prompt.prompts.frames import pls_map
    from tests.helpers.predictors import case

    made = model(name)
    images = made.reader.read(write_itk(tmp_path / "a.nii.gz", axes))
    box = Box(LOWER, UPPER)
    in_pls = pls_map(images[0].affine, images[0].shape).box(box)
    expected = made.predict_prompts(images, case(box))
    found = made.predict_prompts(images, case(in_pls, frame="PLS"))
    assert np.array_equal(found, expected) and expected[4, 4, 2] == 500


def test_nifti_for_a_model_of_pictures(tmp_path: Path) -> None:
    """Read by hand, as `submit` reads it."""
    made = model("NaturalImage2DIO", ".png", configuration="2d")
    images = model().reader.read(write_itk(tmp_path / "a.nii.gz"))
    with pytest.raises(NNUNetPromptError, match=r"a\.nii\.gz: expected an image ending in \.png"):
        made.place(images)


def test_more_channels_than_the_model_takes(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.ones((2, 3, 4, 5), np.int16), False)
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    made = model()
    with pytest.raises(NNUNetPromptError, match=r"found 2: a\.nii\.gz with 2 channels"):
        made.place(made.reader.read(tmp_path / "a.nii.gz"))


class TestSession:
    @each("ending", [".nrrd", ".nii.gz"])
    def test_a_file(self, ending: str, tmp_path: Path) -> None:
        session = PromptSession(model("NibabelIO"))
        session.set_image(write_itk(tmp_path / f"a{ending}"))
        session.add(Box(LOWER, UPPER), label=500)
        assert np.array_equal(session.predict(), box_in(SHAPE))

    def test_a_dicom_folder(self, tmp_path: Path) -> None:
        session = PromptSession(model())
        session.set_image(write_series(tmp_path / "p1", voxels((6, 11, 13))))
        session.add(Box(LOWER, UPPER), label=1)
        assert session.predict().shape == (13, 11, 6)


@each("name", WORLD)
def test_channels_with_other_axes_first(name: str, tmp_path: Path) -> None:
    """A reader that reorients takes them, the others do not."""
    import nibabel as nib

    made = model(name, n_image_channels=2)
    path = write_itk(tmp_path / "a.nii.gz")
    turned = nib.load(path).as_reoriented([[2, 1], [0, 1], [1, -1]])
    turned.to_filename(tmp_path / "b.nii.gz")
    images = [v for p in ("a.nii.gz", "b.nii.gz") for v in made.reader.read(tmp_path / p)]
    if name.endswith("WithReorient"):
        a, b = (made.reader.apply(v) for v in images)
        assert np.array_equal(a.array, b.array)
        np.testing.assert_allclose(a.affine, b.affine, atol=1e-5)
    else:
        with pytest.raises(NNUNetPromptError, match="another geometry"):
            made.place(images)


def test_options_are_as_before(tmp_path: Path, use: Callable[..., PromptPredictor]) -> None:
    """--c keeps masks of every format."""
    use(ending=".nrrd")
    image = write_itk(tmp_path / "in" / "a_0000.nrrd")
    predict_folder(image.parent, tmp_path / "out", model=tmp_path)
    options = RunOptions(overwrite=False)
    again = predict_folder(image.parent, tmp_path / "out", model=tmp_path, run_options=options)
    assert (again.written, again.kept) == (0, 1)
