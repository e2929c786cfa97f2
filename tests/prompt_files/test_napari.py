"""Files as napari writes them; the image is 6 x 8 x 4 voxels, which napari shows as 4 x 8 x 6."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.napari import Axes
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from tests.helpers.each import each

POINTS = "index,axis-0,axis-1,axis-2\n0.0,3.0,2.0,1.0\n1.0,0.0,5.25,4.0\n"
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n"
RECTANGLE = [(2, 1.5, 0.5), (2, 1.5, 3.5), (2, 4.5, 3.5), (2, 4.5, 0.5)]


def save(folder: Path, shape: tuple[int, ...] = (6, 8, 4)) -> NiftiVolume:
    path = folder / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.diag([1, 2, 3, 1.0])), path)
    return read_nifti(path)


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    return save(tmp_path)


def read(image: NiftiVolume, text: str, *, axes: Axes = "zyx", name: str = "a_5.csv") -> PromptSet:
    path = image.path.parent / "p" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (found,) = load_prompts(path, axes=axes).prompts("a", image).labels.items()
    assert found[0] == 5
    return found[1]


def shape(kind: str, vertices: list[tuple[float, ...]], index: int = 0) -> str:
    rows = [f"{index},{kind},{i},{','.join(map(str, v))}" for i, v in enumerate(vertices)]
    return "\n".join(rows) + "\n"


def test_points_count_the_axes_as_shown(image: NiftiVolume) -> None:
    assert read(image, POINTS).points == (Point((1, 2, 3)), Point((4, 5.25, 0)))
    assert read(image, "index,axis-0,axis-1,axis-2\n0,1,2,3\n", axes="xyz").points == (
        Point((1, 2, 3)),
    )
    assert read(image, "index,x,y,z\n0,1,2,3\n").points == (
        Point((1, 2, 3)),
    )  # they name themselves


def test_points_outside_say_how_they_were_read(image: NiftiVolume) -> None:
    text = "index,axis-0,axis-1,axis-2\n0,5,2,3\n"
    with pytest.raises(PromptFileError, match="taken as z, y, x: give --axes xyz"):
        read(image, text)
    assert read(image, text, axes="xyz").points == (Point((5, 2, 3)),)


def test_further_columns_have_label_and_sign(image: NiftiVolume) -> None:
    text = "index,axis-0,axis-1,axis-2,label,positive\n0,3,2,1,5.0,True\n1,0,5,4,5,false\n"
    found = read(image, text, name="a.csv")
    assert found.points == (Point((1, 2, 3)), Point((4, 5, 0), False))
    assert read(image, POINTS, name="a_5-neg.csv").points[0].positive is False


def test_shapes(image: NiftiVolume) -> None:
    line = [(3, 1, 0), (3, 2, 5)]
    path = [(0, 1, 0), (1, 2, 5), (2, 2, 2)]
    text = SHAPES + shape("rectangle", RECTANGLE) + shape("ellipse", RECTANGLE, 1)
    found = read(image, text + shape("line", line, 2) + shape("path", path, 3))
    assert found.boxes == (Box((1, 2, 2), (4, 5, 3)),) * 2
    assert found.scribbles == (
        Scribble(((0, 1, 3), (5, 2, 3))),
        Scribble(((0, 1, 0), (5, 2, 1), (2, 2, 2))),
    )
    (outline,) = read(image, SHAPES + shape("polygon", path)).scribbles
    assert outline.path[0] == outline.path[-1] and len(outline.path) == 4


def test_a_rotated_rectangle_is_the_block_around_it(image: NiftiVolume) -> None:
    lens: list[tuple[float, ...]] = [(1, 3, 0), (1, 5, 2), (1, 3, 4), (1, 1, 2)]
    assert read(image, SHAPES + shape("rectangle", lens)).boxes == (
        Box((0.5, 1.5, 1), (4.5, 5.5, 2)),
    )


@each(
    "text",
    [
        "track_id,t,z,y,x\n7,1,1,2,5\n7,0,0,1,0\n8,0,3,3,3\n",
        "index,track-id,axis-0,axis-1,axis-2,axis-3\n0,7,1,1,2,5\n1,7,0,0,1,0\n2,8,0,3,3,3\n",
        "ID,z,y,x\n7,0,1,0\n7,1,2,5\n8,3,3,3\n",
    ],
)
def test_a_track_is_a_scribble_in_the_order_of_its_time(image: NiftiVolume, text: str) -> None:
    assert read(image, text).scribbles == (
        Scribble(((0, 1, 0), (5, 2, 1))),
        Scribble(((3, 3, 3),)),
    )


def test_two_coordinates_are_for_single_slices(image: NiftiVolume, tmp_path: Path) -> None:
    text = "index,axis-0,axis-1\n0,2,1\n"
    with pytest.raises(PromptFileError, match="two coordinates, but the image has 4 slices"):
        read(image, text)
    (tmp_path / "flat").mkdir()
    flat = save(tmp_path / "flat", (6, 8, 1))
    assert read(flat, text).points == (Point((1, 2, 0)),)
    assert read(flat, text, axes="xyz").points == (Point((2, 1, 0)),)


@each(
    ("text", "message"),
    [
        ("", "expected a CSV of napari"),
        ("a;b\n", "expected a CSV of napari"),
        ("index,axis-0,axis-1,axis-2\n\n", "holds no prompt; expected for example"),
        ("index,axis-0,axis-1,axis-2,axis-3\n0,1,2,3,4\n", "two or three columns axis-N"),
        ("index,axis-0,axis-1,axis-2\n0,1,x,3\n", "line 2: expected 3 finite coordinates"),
        ("index,axis-0,axis-1,axis-2\n0,1,nan,3\n", "line 2: expected 3 finite coordinates"),
        ("index,axis-0,axis-1,axis-2\n0,1\n", "line 2: expected 3 finite coordinates"),
        (SHAPES + "0,star,0,1,2,3\n", "shape-type: expected rectangle, .* found 'star'"),
        ("track_id,t,z,y,x\n1,?,1,2,3\n1,0,1,2,3\n", "t: expected a number"),
        (
            "index,axis-0,axis-1,axis-2,positive\n0,1,2,3,maybe\n",
            "positive: expected true or false",
        ),
    ],
)
def test_bad_files(image: NiftiVolume, text: str, message: str) -> None:
    with pytest.raises(PromptFileError, match=message) as error:
        read(image, text)
    assert str(error.value).startswith("a_5.csv: ") and "\n" not in str(error.value)
