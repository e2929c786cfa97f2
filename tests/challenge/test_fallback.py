from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.fallback import keep_allowed, mask_from_prompts
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet
from tests.helpers.each import each


def box(a: float, b: float, c: float, d: float) -> Box:
    return Box((a, b, 0), (c, d, 1))


def plane(*prompts: PromptSet, image: Any = None, shape: tuple[int, int] = (16, 20)) -> Any:
    """The mask of one slice; the labels are 1, 2, ..."""
    labels = CasePrompts(dict(enumerate(prompts, 1)), "PLS", {})
    values = None if image is None else np.asarray(image, np.float32)[..., None]
    return mask_from_prompts(labels, (*shape, 1), values)[..., 0]


def ellipse(shape: tuple[int, int] = (16, 20), value: float = 100.0) -> npt.NDArray[Any]:
    """A bright ellipse that fills the box (3, 4) to (13, 16) of a dark plane."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = ((rows - 7.5) / 5) ** 2 + ((columns - 9.5) / 6) ** 2 <= 1
    return np.where(inside, value, 10.0)


ELLIPSE = box(3, 4, 13, 16)


def test_boxes_are_filled_and_the_smaller_one_is_on_top() -> None:
    big, small = PromptSet(boxes=(box(0, 1, 3, 5),)), PromptSet(boxes=(box(1, 2, 2, 4),))
    for labels in ({500: big, 20: small}, {20: small, 500: big}):
        mask = mask_from_prompts(CasePrompts(labels, "PLS", {}), (3, 6, 2))
        assert mask[..., 0].tolist() == [
            [0, 500, 500, 500, 500, 0],
            [0, 500, 20, 20, 500, 0],
            [0, 500, 500, 500, 500, 0],
        ]
        assert not mask[..., 1].any()


def test_a_disc_stands_for_points_only_where_there_is_no_box() -> None:
    one = PromptSet((Point((5, 5, 0)), Point((0, 0, 1))), (Box((0, 0, 1), (1, 2, 2)),))
    mask = mask_from_prompts(CasePrompts({7: one}, "PLS", {}), (20, 20, 2))
    assert mask[5, 9, 0] == mask[1, 5, 0] == 7
    assert mask[5, 10, 0] == mask[2, 8, 0] == 0
    assert np.argwhere(mask[..., 1]).tolist() == [[0, 0], [0, 1]]


@each("axis", [0, 1, 2])
def test_slices_may_lie_along_any_axis(axis: int) -> None:
    def turned(*values: float) -> Any:
        first, second, k = values
        other = iter((first, second))
        return tuple(k if a == axis else next(other) for a in range(3))

    one = PromptSet((Point(turned(2, 2, 3)),), (Box(turned(0, 1, 2), turned(2, 4, 3)),))
    prompts = CasePrompts({300: one}, "PLS", {2: frozenset({300}), 3: frozenset()}, axis)
    mask = mask_from_prompts(prompts, (9, 9, 9), np.zeros((9, 9, 9), np.float32))
    planes = np.moveaxis(mask, axis, 2)
    assert np.argwhere(planes[..., 2]).tolist() == [[a, b] for a in (0, 1) for b in (1, 2, 3)]
    assert planes[2, 6, 3] == 300 and mask.dtype == np.uint16
    kept = np.moveaxis(keep_allowed(mask, prompts), axis, 2)
    assert np.array_equal(kept[..., 2], planes[..., 2]) and not kept[..., 3].any()


def test_no_prompts_make_an_empty_mask() -> None:
    assert not mask_from_prompts(CasePrompts({}, "PLS", {}), (2, 3, 4)).any()
    assert not mask_from_prompts(CasePrompts({}, "PLS"), (2, 3, 4), np.ones((2, 3, 4))).any()


def test_a_box_narrower_than_a_pixel_has_one() -> None:
    assert np.argwhere(plane(PromptSet(boxes=(box(2.6, 3.6, 2.9, 3.9),)))).tolist() == [[2, 3]]


def test_the_points_of_other_labels_are_left_out() -> None:
    one = PromptSet((Point((1, 1, 0)),), (box(0, 0, 5, 5),))
    other = PromptSet((Point((3, 3, 0)), Point((2, 1, 0))))
    mask = plane(one, other)
    assert mask[3, 3] == mask[2, 1] == 2 and mask[1, 1] == 1
    boxed = PromptSet((Point((3, 3, 0)),), (box(3, 3, 4, 4),))
    assert np.argwhere(plane(one, boxed)[:5, :5] == 0).tolist() == [[2, 3], [3, 2], [3, 4], [4, 3]]
    hidden = PromptSet(boxes=(box(2, 2, 3, 3),))  # smaller than what is left out round a point
    assert plane(hidden, PromptSet((Point((2, 2, 0)),), (box(2, 2, 4, 4),)))[2, 2] == 1


@each("points", [(), (Point((7, 9, 0)),), (Point((4, 9, 0)), Point((7, 5, 0)))])
@each("noise", [0.0, 8.0])
def test_a_box_is_cut_by_intensity(points: tuple[Point, ...], noise: float) -> None:
    image = ellipse() + np.random.default_rng(0).normal(0, noise, (16, 20))
    mask = plane(PromptSet(points, (ELLIPSE,)), image=image) > 0
    truth = ellipse() > 50
    overlap = 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum())
    assert overlap > 0.95 > 2 * truth.sum() / (120 + truth.sum())  # better than the box
    assert not mask[:3].any() and not mask[:, 16:].any()


def test_what_does_not_hang_together_with_the_points_is_left_out() -> None:
    image = np.full((16, 20), 10.0)
    image[3:13, 4:9] = image[3:13, 11:16] = 100
    mask = plane(PromptSet((Point((7, 6, 0)),), (ELLIPSE,)), image=image)
    assert np.array_equal(np.argwhere(mask)[:, 1].max(), 8) and mask[3:13, 4:9].mean() > 0.9


def test_a_ring_is_found_by_its_points_and_not_mistaken_for_what_it_surrounds() -> None:
    image = ellipse()
    image[5:11, 7:13] = 40  # a cavity, with its own box
    wall, cavity = PromptSet(boxes=(ELLIPSE,)), PromptSet(boxes=(box(5, 7, 11, 13),))
    for points in ((), (Point((4, 9, 0)),)):
        mask = plane(PromptSet(points, wall.boxes), cavity, image=image)
        assert (mask[6:10, 8:12] == 2).all()
        assert mask[4, 9] == mask[7, 5] == mask[11, 9] == 1


def test_an_image_that_tells_nothing_leaves_the_box_whole() -> None:
    one = PromptSet(boxes=(box(3, 4, 13, 16),))
    assert np.count_nonzero(plane(one, image=np.zeros((16, 20)))) == 120
    odd = np.zeros((16, 20))
    odd[7:9, 9:11] = 1000.0  # the middle alone is like the middle
    odd[4:12, 5:15] += np.random.default_rng(0).choice([0, 500, 1500], (8, 10))
    assert np.count_nonzero(plane(one, image=odd)) > 30


@each("seed", range(20))
def test_no_prompt_goes_unanswered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prompts = []
    for _ in range(3):
        a, b = rng.integers(0, 12, 2)
        points = tuple(Point((int(p), int(q), 0)) for p, q in rng.integers(0, 16, (2, 2)))
        boxes = (box(a, b, a + rng.integers(1, 5), b + rng.integers(1, 9)),)
        prompts.append(PromptSet(points[: seed % 3], boxes))
    image = rng.normal(0, 100, (16, 20))
    for i in range(3):
        assert np.count_nonzero(plane(*prompts[i : i + 1], image=image)) > 0
    largest = max(plane(*prompts[i : i + 1]).sum() for i in range(3))
    assert 0 < np.count_nonzero(plane(*prompts, image=image)) <= 3 * largest


def test_only_labels_prompted_in_a_slice_are_kept() -> None:
    labels = np.array([1, 2, 3, 1])[:, None, None] * np.ones((1, 1, 3), int)
    prompts = CasePrompts({}, "PLS", {0: frozenset({1, 3}), 1: frozenset()})
    assert keep_allowed(labels, prompts)[:, 0].T.tolist() == [[1, 0, 3, 1], [0] * 4, [0] * 4]
