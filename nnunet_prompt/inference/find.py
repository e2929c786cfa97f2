"""Finds the objects that prompts point at: from the file, through the frames, to the tiles that are run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nnunet_prompt.inference.consistent import keep_pointed_at, make_consistent
from nnunet_prompt.inference.grid import Placed
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.types import Box, CasePrompts
from nnunet_prompt.sliding_window.canvas import LabelLogits
from nnunet_prompt.sliding_window.grid_prompts import GridPrompts
from nnunet_prompt.sliding_window.sliding_window import Engine, WindowMode
from nnunet_prompt.sliding_window.tile_cache import TileCache
from nnunet_prompt.sliding_window.tiles import Boxes


def find_objects(
    engine: Engine,
    case: Placed,
    prompts: CasePrompts,
    *,
    window: WindowMode = "prompted",
    cache: TileCache | None = None,
    known: Mapping[int, Sequence[Window]] | None = None,
    consistent: bool = True,
    one_component: Collection[int] = (),
) -> dict[int, LabelLogits]:
    """The logits of each label that has prompts, on the case's grid. Points of the other labels serve as negatives.

    With `consistent` they are changed where they contradict the prompts of their label (see `make_consistent`); of
    labels in `one_component`, what no prompt touches is left out (see `keep_pointed_at`).
    `cache` and `known` tiles come from answers for the same case. Raises `PromptError` for prompts outside the image.
    """
    to_reader = case.file_to_reader
    if prompts.frame != "file":
        to_reader = case.file_to_pls.inverse().then(to_reader)
    to_grid = to_reader.then(case.grid.to_grid)
    labels = [label for label, said in prompts.labels.items() if not said.empty]
    for label in labels:
        prompts.labels[label].check_inside(to_reader.source_shape)
    sets = []
    for label in labels:
        others = [prompts.labels[other] for other in labels if other != label]
        sets.append(GridPrompts.of(prompts.labels[label].with_negatives(others), to_grid))
    found = engine.find(
        case.image,
        sets,
        window=window,
        limits=_limits(case, prompts, labels),
        cache=cache,
        known=[(known or {}).get(label, ()) for label in labels],
    )
    boxes = [s.boxes(engine.style) for s in sets]
    if consistent:
        own = [
            to_grid.prompts(replace(prompts.labels[label], mask=None, negative_mask=None))
            for label in labels
        ]
        found = make_consistent(found, own, boxes, engine.style)
    found = [
        keep_pointed_at(one, said) if label in one_component else one
        for label, one, said in zip(labels, found, boxes, strict=True)
    ]
    return dict(zip(labels, found, strict=True))


def _limits(case: Placed, prompts: CasePrompts, labels: Sequence[int]) -> list[Boxes]:
    """The slices where each label may appear, as boxes on the grid; none where there is no such rule."""
    if prompts.slices is None:
        return []
    to_grid = case.file_to_pls.inverse().then(case.file_to_reader).then(case.grid.to_grid)
    axis, count = prompts.slice_axis, to_grid.source_shape[prompts.slice_axis]
    boxes = []
    for label in labels:
        shown = [k for k, here in prompts.slices.items() if label in here and 0 <= k < count]
        if not shown:
            boxes.append(np.zeros((1, 3, 2), np.int64))
            continue
        lower, upper = [0, 0, 0], list(to_grid.source_shape)
        lower[axis], upper[axis] = min(shown), max(shown) + 1
        box = to_grid.box(Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2])))
        edges = zip(box.lower, box.upper, strict=True)
        boxes.append(
            np.array([[(math.floor(a - 0.5), math.ceil(b + 0.5)) for a, b in edges]], np.int64)
        )
    return boxes
