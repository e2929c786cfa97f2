from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.world import Edges, carry_mask, enclosing, to_voxels
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, stored

LPS = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
TURN = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])


def test_every_space_leads_to_the_same_voxel() -> None:
    spaces = {"voxel": (1, 2, 3), "zyx": (3, 2, 1), "RAS": (8, 14, -15), "LPS": (-8, -14, -15)}
    for space, position in spaces.items():
        there = to_voxels(space, LPS)  # type: ignore[arg-type]
        assert there([position]).tolist() == [[1, 2, 3]]
        assert there.is_mm == (space in ("RAS", "LPS"))


def test_another_space_is_refused() -> None:
    with pytest.raises(PromptError, match="expected one of voxel, zyx, RAS, LPS, found 'IJK'"):
        to_voxels("IJK", LPS)  # type: ignore[arg-type]


def test_rounding_of_the_affine_leaves_no_trace() -> None:
    affine = np.diag([0.7, 0.7, 1.1, 1]).astype(np.float32)
    affine[:3, 3] = -123.456
    (voxel,) = to_voxels("RAS", affine)([tuple(affine[:3, :3] @ [7, 8, 9] + affine[:3, 3])])
    assert voxel.tolist() == [7, 8, 9]


@each("space", ["RAS", "LPS"])
def test_positions_of_an_oblique_image(space: str) -> None:
    affine = TURN @ LPS
    world = affine @ [1, 2, 3, 1] * (1 if space == "RAS" else np.array([-1, -1, 1, 1]))
    there = to_voxels(space, affine)  # type: ignore[arg-type]
    assert there([tuple(world[:3])]).tolist() == [[1, 2, 3]]


def test_the_block_around_a_body() -> None:
    corners = np.array([[1.5, 2, 4], [3.5, 2, 4], [3.5, 6, 4.0], [1.5, 6, 4]])
    assert enclosing(corners) == Edges((1.5, 2, 3.5), (3.5, 6, 4.5))  # flat: its whole slice
    lens = np.array([[0, 2, 4.2], [2, 0, 4.2], [4, 2, 4.2], [2, 4, 4.2]])
    assert enclosing(lens) == Edges((0, 0, 3.5), (4, 4, 4.5), rotated=True)


def test_a_mask_on_a_part_of_the_grid_in_another_order() -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 2, 3] = mask[0, 0, 0] = True
    # its axes are the image's z (reversed), x and y; its first voxel is the image's (1, 2, 3)
    to_image = np.array([[0, 1, 0, 1], [0, 0, 1, 2], [-1, 0, 0, 3], [0, 0, 0, 1.0]])
    moved = carry_mask(mask, LPS @ to_image, LPS, (9, 8, 7))
    assert np.argwhere(moved).tolist() == [[1, 2, 3], [3, 5, 2]]
    far = LPS.copy()
    far[0, 3] += 900
    assert not carry_mask(mask, far, LPS, (9, 8, 7)).any()
    assert not carry_mask(mask & False, LPS, LPS, (9, 8, 7)).any()


def test_a_finer_mask_is_asked_at_the_middle_of_each_voxel() -> None:
    mask = np.zeros((8, 4, 4), bool)
    mask[4:] = True
    fine = LPS @ np.diag([0.5, 1, 1, 1])
    fine[:3, 3] = LPS[:3, 3] + LPS[:3, 0] * -0.25  # both grids begin at the same edge
    moved = carry_mask(mask, fine, LPS, (4, 4, 4))
    assert moved[2:].all() and not moved[:2].any()


@each(("axes", "signs"), ORIENTATIONS)
def test_every_orientation(axes: tuple[str, ...], signs: tuple[int, ...]) -> None:
    image = stored(axes, signs)
    voxel = (2.5, 1, 3)
    ras = image.affine @ [*voxel, 1]
    for position, space in ((ras[:3], "RAS"), (ras[:3] * [-1, -1, 1], "LPS")):
        there = to_voxels(space, image.affine)  # type: ignore[arg-type]
        assert there([tuple(position)]).tolist() == [list(voxel)]
