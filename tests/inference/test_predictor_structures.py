"""What the predictor knows without prompts, its folds, and the images that it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from tests.helpers.each import each
from tests.helpers.predictors import (
    ORIENTATIONS,
    Answers,
    case,
    corner,
    filled,
    predictor,
    stored,
)


class TestStructures:
    def test_official_values_by_priority_and_never_the_object(self) -> None:
        volume = stored()
        found = predictor(Answers(object_bias=0.0)).predict_structures([volume])
        # structure 3 (scar) claims every voxel that 1 and 2 claim, and is decoded first
        assert set(np.unique(found)) == {0, 2221}
        certain = predictor(Answers(object_bias=40.0)).predict_structures([volume])
        assert set(np.unique(certain)) <= {500, 2221, 0}
        assert not certain[volume.array == 0].any()  # background outside the crop

    def test_by_name_and_by_value(self) -> None:
        volume = stored()
        loaded = predictor()
        wall = loaded.predict_structures([volume], ["wall"])
        assert set(np.unique(wall)) == {0, 200}
        assert np.array_equal(wall, loaded.predict_structures([volume], ["200"]))
        two = loaded.predict_structures([volume], ["500", "scar"])
        assert set(np.unique(two)) <= {0, 500, 2221}

    def test_an_unknown_name_is_refused_before_anything_is_run(self) -> None:
        with pytest.raises(DatasetError, match="liver"):
            predictor().predict_structures([], ["liver"])

    @each(("axes", "signs"), ORIENTATIONS)
    def test_the_mask_lies_where_the_image_is_bright(
        self, axes: tuple[str, ...], signs: tuple[int, ...]
    ) -> None:
        volume = stored(axes, signs)
        found = predictor().predict_structures([volume], ["wall"])
        # the network's image is a z-score over the crop, which has no zeros here
        bright = volume.array > volume.array[volume.array > 0].mean()
        assert np.array_equal(found, 200 * bright)


class TestModel:
    def test_folds_are_averaged(self) -> None:
        network = Answers()
        weights = tuple({"bias": torch.tensor(b)} for b in (-8.0, 1.0))
        volume = stored()
        box = corner(volume)
        one = predictor(network, weights=weights[1:]).predict_prompts([volume], case(box))
        assert (one > 0).sum() == filled(volume, box).sum()
        # the mean bias is -3.5, so the box's logit of 5 stays above zero
        both = predictor(Answers(), weights=weights).predict_prompts([volume], case(box))
        assert np.array_equal(both, one)
        sceptical = ({"bias": torch.tensor(-12.0)}, *weights)
        model = predictor(Answers(), weights=sceptical).model
        as_it_is = PromptPredictor(model, PredictOptions(consistent=False))
        none = as_it_is.predict_prompts([volume], case(box))
        assert not none.any()  # -19 / 3 is below -5
        # of a label with something positive a consistent mask always has something, inside its box
        something = PromptPredictor(model).predict_prompts([volume], case(box))
        assert something.any() and not (something.astype(bool) & ~filled(volume, box)).any()

    def test_it_keeps_nothing_of_one_case_for_the_next(self) -> None:
        loaded = predictor()
        first, second = stored(), stored(("S", "P", "L"), (-1, 1, -1))
        expected = [loaded.predict_prompts([v], case(corner(v))) for v in (first, second)]
        again = [loaded.predict_prompts([v], case(corner(v))) for v in (second, first)]
        assert np.array_equal(again[1], expected[0]) and np.array_equal(again[0], expected[1])

    @each("count", [0, 2])
    def test_another_number_of_channels_is_refused(self, count: int) -> None:
        with pytest.raises(ImageError, match=f"takes 1 image channel.*found {count}"):
            predictor().predict_structures([stored()] * count)

    def test_channels_on_different_grids_are_refused(self) -> None:
        moved = stored()
        affine = moved.affine.copy()
        affine[0, 3] += 1.0
        other = replace(moved, affine=affine, path=Path("case_0001.nii.gz"))
        with pytest.raises(ImageError, match=r"case_0001.nii.gz.*another geometry"):
            predictor(n_image_channels=2).predict_structures([moved, other])

    def test_an_image_of_zeros_is_background(self) -> None:
        volume = replace(stored(), array=np.zeros((15, 17, 7), np.float32))
        found = predictor().predict_structures([volume], ["cavity", "wall"])
        assert found.shape == (15, 17, 7) and not found.any()
