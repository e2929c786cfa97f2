from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnunet_prompt.inference.merge import merge_objects
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import Box, CasePrompts, PromptSet
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, case, corner, predictor, stored


@each(("axes", "signs"), ORIENTATIONS)
@each("configuration", ["3d_fullres", "2d"])
def test_merged_they_are_what_the_prediction_is(
    axes: tuple[str, ...], signs: tuple[int, ...], configuration: str
) -> None:
    volume = stored(axes, signs)
    box = corner(volume)
    whole = Box((0, 0, 0), tuple(map(float, volume.shape)))  # type: ignore[arg-type]
    prompts = CasePrompts({500: PromptSet(boxes=(box,)), 200: PromptSet(boxes=(whole,))})
    made = predictor(configuration=configuration)
    said = made.object_logits([volume], prompts)
    assert said.labels == (500, 200) and said.logits.dtype == np.float32
    found = np.zeros(volume.shape, np.int32)
    found[tuple(slice(a, b) for a, b in said.box)] = merge_objects(said.logits, said.labels)
    assert set(np.unique(found)) == {0, 200, 500}
    assert np.array_equal(found, made.predict_prompts([volume], prompts))
    where = np.argwhere(volume.array)
    edges = zip(where.min(0), where.max(0) + 1, strict=True)
    assert said.seen == [(int(a), int(b)) for a, b in edges]


def test_only_the_part_that_was_looked_at() -> None:
    volume = stored(size={"S": 7, "P": 60, "L": 50})
    said = predictor().object_logits([volume], case(Box((20, 30, 3), (23, 33, 5))))
    assert all(0 <= low < high for low, high in said.box)
    assert said.logits.shape == (1, *(high - low for low, high in said.box))
    assert said.logits[0].size < volume.array.size / 2
    assert said.logits[0, 20 - said.origin[0], 30 - said.origin[1], 3 - said.origin[2]] > 0


def test_prompts_in_pls_and_no_prompts() -> None:
    volume = stored(("P", "S", "L"), (-1, 1, -1))
    box = corner(volume)
    in_file = predictor().object_logits([volume], case(box))
    in_pls = pls_map(volume.affine, volume.shape).box(box)
    said = predictor().object_logits([volume], case(in_pls, frame="PLS"))
    assert said.origin == in_file.origin and np.array_equal(said.logits, in_file.logits)
    nothing = predictor().object_logits([volume], replace(case(box), labels={}))
    assert nothing.labels == () and nothing.logits.shape == (0, 0, 0, 0)
