"""From file to file: a network that copies its box must give the box back, however the file is stored."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.prompts.channels import POINT
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet
from tests.helpers.each import each
from tests.helpers.predictors import (
    ALL_48,
    ORIENTATIONS,
    SIZE,
    Answers,
    case,
    corner,
    filled,
    predictor,
    stored,
)

WAYS = list(itertools.product(("3d_fullres", "2d"), ("canonical", "file")))


class TestFrames:
    @each(("axes", "signs"), ALL_48)
    def test_a_box_of_the_file_comes_back_on_the_file(
        self, axes: tuple[str, ...], signs: tuple[int, ...]
    ) -> None:
        """All 48 orientations, with a crop on both sides of the box: the offset counts once (trap 1)."""
        volume = stored(axes, signs)
        box = corner(volume)
        found = predictor().predict_prompts([volume], case(box))
        assert found.shape == volume.shape and found.dtype == np.uint16
        assert np.array_equal(found, 500 * filled(volume, box))

    @each(("axes", "signs"), ORIENTATIONS)
    def test_a_box_in_pls_is_the_same_box(
        self, axes: tuple[str, ...], signs: tuple[int, ...]
    ) -> None:
        volume = stored(axes, signs)
        box = corner(volume)
        in_pls = pls_map(volume.affine, volume.shape).box(box)
        found = predictor().predict_prompts([volume], case(in_pls, frame="PLS"))
        assert np.array_equal(found, 500 * filled(volume, box))

    @each(("configuration", "orientation"), WAYS)
    @each("transpose", list(itertools.permutations(range(3))))
    def test_every_transposition_of_nnunet(
        self, configuration: str, orientation: str, transpose: tuple[int, int, int]
    ) -> None:
        # reversed, the file's axes are S, P, L: both orientations read it the same way
        volume = stored(("L", "P", "S"))
        box = corner(volume)
        loaded = predictor(
            configuration=configuration, orientation=orientation, transpose=transpose
        )
        found = loaded.predict_prompts([volume], case(box))
        assert np.array_equal(found, 500 * filled(volume, box))

    @each("configuration", ["3d_fullres", "2d"])
    @each("spacing", [(6.0, 2.0, 2.0), (3.0, 1.0, 1.0), (12.0, 1.2, 1.6)])
    def test_with_resampling_the_box_is_met_within_a_voxel(
        self, configuration: str, spacing: tuple[float, float, float]
    ) -> None:
        volume = stored(("P", "S", "L"), (-1, 1, 1), spacing=dict(zip("SPL", spacing, strict=True)))
        box = Box((3, 2, 4), (12, 5, 11))
        found = predictor(configuration=configuration).predict_prompts([volume], case(box)) > 0
        exact = filled(volume, box)
        cube = np.ones((3, 3, 3), bool)
        assert (found <= binary_dilation(exact, cube)).all()
        assert (found >= binary_erosion(exact, cube)).all()

    @each("configuration", ["3d_fullres", "2d"])
    def test_a_volume_of_one_slice(self, configuration: str) -> None:
        volume = stored(("L", "P", "S"), size={**SIZE, "S": 2})
        volume = replace(volume, array=volume.array[:, :, 1:], file_shape=volume.shape)
        box = Box((2, 5, 0), (6, 11, 1))
        found = predictor(configuration=configuration).predict_prompts([volume], case(box))
        assert np.array_equal(found, 500 * filled(volume, box))

    @each("configuration", ["3d_fullres", "2d"])
    def test_many_tiles(self, configuration: str) -> None:
        volume = stored(("S", "L", "P"), size={"S": 19, "P": 40, "L": 31})
        box = Box((2, 3, 5), (17, 28, 36))
        found = predictor(configuration=configuration).predict_prompts([volume], case(box))
        assert np.array_equal(found, 500 * filled(volume, box))

    def test_outside_the_crop_is_background(self) -> None:
        volume = stored()
        everything = Box((0, 0, 0), tuple(map(float, volume.shape)))  # type: ignore[arg-type]
        found = predictor().predict_prompts([volume], case(everything))
        assert np.array_equal(found, 500 * (volume.array > 0))

    def test_the_inputs_are_left_alone(self) -> None:
        volume = stored()
        before = volume.array.copy()
        predictor().predict_prompts([volume], case(corner(volume)))
        assert np.array_equal(volume.array, before)


class TestPrompts:
    def test_labels_are_merged_and_keep_their_ids(self) -> None:
        volume = stored()
        first, second = Box((2, 3, 2), (6, 7, 4)), Box((8, 9, 3), (12, 13, 6))
        said = CasePrompts(
            {2221: PromptSet(boxes=(first,)), 7: PromptSet(boxes=(second,)), 9: PromptSet()}
        )
        found = predictor().predict_prompts([volume], said)
        expected = 2221 * filled(volume, first) + 7 * filled(volume, second)
        assert np.array_equal(found, expected)

    def test_points_of_the_other_labels_are_negatives(self) -> None:
        """A network that answers with its negative points puts each label where the other was clicked.

        Consistent masks put it where its own prompts are.
        """
        volume = stored()
        first, second = (4.0, 5.0, 2.0), (10.0, 12.0, 5.0)
        said = CasePrompts(
            {1: PromptSet(points=(Point(first),)), 2: PromptSet(points=(Point(second),))}
        )
        as_it_is = PromptPredictor(
            predictor(Answers(POINT[1])).model, PredictOptions(consistent=False)
        )
        found = as_it_is.predict_prompts([volume], said)
        assert found[4, 5, 2] == 2 and found[10, 12, 5] == 1
        found = predictor(Answers(POINT[1])).predict_prompts([volume], said)
        assert found[4, 5, 2] == 1 and found[10, 12, 5] == 2
        swapped = predictor(Answers(POINT[0])).predict_prompts([volume], said)
        assert swapped[4, 5, 2] == 1 and swapped[10, 12, 5] == 2

    def test_a_label_stays_in_the_slices_where_it_was_prompted(self) -> None:
        volume = stored(("S", "L", "P"), (-1, 1, 1))  # file axis 0 runs down
        box = Box((1, 2, 3), (5, 8, 9))
        in_pls = pls_map(volume.affine, volume.shape).box(box)
        # PLS slice k is row 6 - k of the file
        slices = {2: frozenset({500}), 3: frozenset({500, 7}), 4: frozenset({7})}
        found = predictor().predict_prompts([volume], case(in_pls, frame="PLS", slices=slices))
        expected = filled(volume, box)
        expected[[0, 1, 2, 5, 6]] = False
        assert np.array_equal(found, 500 * expected)
        assert not predictor().predict_prompts([volume], case(box, slices={})).any()

    @each("axis", [0, 1, 2])
    def test_slices_may_lie_along_any_axis_of_pls(self, axis: int) -> None:
        volume = stored(("S", "L", "P"), (-1, 1, 1))
        box = Box((1, 2, 3), (5, 8, 9))
        to_pls = pls_map(volume.affine, volume.shape)
        in_pls = to_pls.box(box)
        first = int(in_pls.lower[axis])
        slices = {k: frozenset({500 if k != first + 1 else 7}) for k in range(first, first + 3)}
        said = replace(case(in_pls, frame="PLS", slices=slices), slice_axis=axis)
        expected = filled(volume, box)
        shown = np.moveaxis(to_pls.apply(expected), axis, 0)
        shown[first + 1] = shown[first + 3 :] = False
        assert expected.any()
        found = predictor().predict_prompts([volume], said)
        assert np.array_equal(found, 500 * expected)

    def test_nothing_said_is_nothing_found(self) -> None:
        volume = stored()
        for said in (CasePrompts(), CasePrompts({5: PromptSet()})):
            found = predictor().predict_prompts([volume], said)
            assert found.shape == volume.shape and not found.any()

    def test_only_negative_prompts_find_nothing(self) -> None:
        volume = stored()
        said = CasePrompts({5: PromptSet(points=(Point((4.0, 5.0, 2.0), positive=False),))})
        assert not predictor(Answers(object_bias=50.0)).predict_prompts([volume], said).any()

    def test_a_rough_mask_is_carried_to_the_grid(self) -> None:
        volume = stored(("P", "L", "S"), (1, -1, 1))
        mask = filled(volume, corner(volume))
        said = CasePrompts({3: PromptSet(mask=mask)})
        found = predictor(Answers(0)).predict_prompts([volume], said)
        assert np.array_equal(found, 3 * mask)

    @each(
        "prompt",
        [
            PromptSet(boxes=(Box((0, 0, 0), (16, 3, 3)),)),
            PromptSet(boxes=(Box((-1, 0, 0), (3, 3, 3)),)),
            PromptSet(points=(Point((3.0, 17.0, 3.0)),)),
            PromptSet(mask=np.ones((2, 3, 4), bool)),
        ],
    )
    def test_prompts_outside_the_image_are_refused(self, prompt: PromptSet) -> None:
        with pytest.raises(NNUNetPromptError, match=r"15, 17, 7") as caught:
            predictor().predict_prompts([stored()], CasePrompts({1: prompt}))
        assert "\n" not in str(caught.value)
