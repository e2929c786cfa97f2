from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.forms.annotations import parse_annotation
from nnunet_prompt.challenge.forms.sockets import InputSocket
from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files.located import place
from nnunet_prompt.prompts.types import Box, PromptSet
from tests.helpers.each import each
from tests.helpers.models import TABLE

pytestmark = pytest.mark.slow

SHAPE = (10, 12, 6)
AFFINE = np.array(
    [[-2.0, 0, 0, 20], [0, -1, 0, -7], [0, 0, 4, 8], [0, 0, 0, 1.0]]
)  # identity in LPS
SIGNS = {"tumor": "ball", "background": {"label": 500, "positive": False}}


def read(content: Any, **socket: Any) -> dict[int, PromptSet]:
    """The prompts of an annotation in a small image."""
    image = NiftiVolume(Path("a.mha"), np.zeros(SHAPE, np.float32), AFFINE, None, SHAPE)
    given = InputSocket.model_validate({"role": "annotation", **socket})
    located = parse_annotation(content, "clicks", given)
    return dict(place(located, image, TABLE, pytest.fail).labels)


def at(i: float, j: float, k: float) -> list[float]:
    """The position in mm (LPS) of a voxel."""
    return [2 * i - 20, j + 7, 4 * k + 8]


def test_points_in_mm_and_in_voxels() -> None:
    points = [{"name": "ball", "point": at(4, 5, 3)}, {"name": "200", "point": at(0, 11, 5)}]
    mm = read({"type": "Multiple points", "points": points})
    assert [p.position for p in mm[500].points] == [(4, 5, 3)]
    assert [p.position for p in mm[200].points] == [(0, 11, 5)]
    one = {"type": "Point", "name": "ball", "point": [4, 5, 3]}
    assert read(one, space="voxel")[500].points == mm[500].points


def test_names_have_labels_and_signs() -> None:
    points = [{"name": "tumor", "point": [1, 2, 3]}, {"name": "background", "point": [4, 5, 3]}]
    (label, said), *others = read({"points": points}, space="voxel", names=SIGNS).items()
    assert (label, others) == (500, [])
    assert [(p.position, p.positive) for p in said.points] == [
        ((1, 2, 3), True),
        ((4, 5, 3), False),
    ]


def test_the_name_of_the_whole_counts_where_a_member_has_none() -> None:
    content = {"type": "Multiple points", "name": "shell", "points": [{"point": [1, 2, 3]}]}
    assert set(read(content, space="voxel")) == {200}


def test_points_of_a_scribble_socket_are_scribbles() -> None:
    said = read(
        {"points": [{"name": "tumor", "point": [1, 2, 3]}]},
        scribbles=True,
        space="voxel",
        names=SIGNS,
    )
    assert said[500].points == () and said[500].scribbles[0].path == ((1, 2, 3),)


def test_a_box_takes_the_slice_it_lies_in() -> None:
    corners = [at(1.5, 1.5, 2), at(4.5, 1.5, 2), at(4.5, 6.5, 2), at(1.5, 6.5, 2)]
    content = {"type": "2D bounding box", "name": "ball", "corners": corners}
    several = {
        "type": "Multiple 2D bounding boxes",
        "boxes": [{"name": "ball", "corners": corners}],
    }
    assert read(content)[500].boxes == (Box((2, 2, 2), (5, 7, 3)),) == read(several)[500].boxes


def test_a_line_is_a_scribble_per_path() -> None:
    paths = [[at(1, 1, 1), at(2, 2, 1)], [at(3, 3, 3)]]
    line = {"name": "ball", "seed_points": [], "path_point_lists": paths}
    found = read({"type": "Multiple lines", "lines": [line]})[500].scribbles
    assert [s.path for s in found] == [((1, 1, 1), (2, 2, 1)), ((3, 3, 3),)]
    assert read({"type": "Line", **line})[500].scribbles == found


def test_no_points_are_no_prompts() -> None:
    assert read({"type": "Multiple points", "points": []}) == {}


@each(
    ("content", "line"),
    [
        ([], r"clicks: type: expected one of Point, .*, found \[\]"),
        ({"type": "Ellipse"}, "found 'Ellipse'"),
        ({"type": ["Point"]}, "type: expected one of"),
        ({"type": "Multiple points", "points": 3}, "points: expected a list, found 3"),
        ({"points": [3]}, r"points\[0\]: expected an object, found 3"),
        ({"points": [{"point": [1, 2, 3]}]}, "name: expected the name of a label, such as '500'"),
        ({"points": [{"name": "ball", "point": [1, 2]}]}, "expected three numbers"),
        ({"points": [{"name": "ball", "point": [1, 2, float("nan")]}]}, "must be finite"),
        ({"points": [{"name": "ball", "point": None}]}, "found None"),
        ({"type": "2D bounding box", "name": "ball"}, "corners: expected a list of positions"),
        ({"type": "Line", "name": "ball"}, "path_point_lists: expected lists of positions"),
        ({"type": "Line", "name": "ball", "path_point_lists": [3]}, "found 3"),
    ],
)  # fmt: skip
def test_a_wrong_annotation_is_one_line(content: Any, line: str) -> None:
    with pytest.raises(PromptFileError, match=line) as caught:
        read(content)
    assert "\n" not in str(caught.value)
