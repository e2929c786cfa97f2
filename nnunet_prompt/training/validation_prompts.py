"""The kinds of prompts of full-volume validation, and what a seeded user gives of each."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.clicks import as_position, deep_point
from nnunet_prompt.prompts.corrupt import corrupt
from nnunet_prompt.prompts.draw import scribble_in
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import Box, Point, PromptSet
from nnunet_prompt.prompts.voxels import Layers, bounding_box, random_points

FEW_KINDS = ("one click", "three clicks", "box in one slice", "3D box", "scribble in three slices")
SLICE_KINDS = ("points in slices", "box in slices", "box + points in slices")
VALIDATION_KINDS = ("none", *FEW_KINDS, *SLICE_KINDS, "mask")
SEED = 20240917  # the prompts of a case are the same in every training and every epoch


def folder_name(kind: str) -> str:
    """The folder of a kind's masks: "box + points in slices" is `box_points_in_slices`."""
    return re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")


def is_gated(kind: str) -> bool:
    """Whether a label may only appear in the slices where it is prompted, as TFM4MedIA has it."""
    return kind in SLICE_KINDS


def simulated_prompts(
    masks: Mapping[int, BoolArray],
    kind: str,
    case: str,
    *,
    slice_axis: int = 0,
    spacing: Sequence[float] | None = None,
) -> dict[int, PromptSet]:
    """The prompts of one case, per label; always the same for the same case.

    `masks` are in any frame, with its axis of slices and its `spacing` (any unit, voxels without). The kinds:

    one click: at the deepest point
    three clicks: there, and at two more of the inside
    box in one slice: tight, in the middle one of the slices that show the object
    3D box: tight
    scribble in three slices: the centre line at a quarter, half and three quarters of these slices
    points in slices: one to five in every slice; box in slices: tight; or both
    mask: a corrupted copy of the mask

    Points of the other labels serve as negatives. Raises `ValueError` for an unknown kind.
    """
    if kind not in VALIDATION_KINDS:
        raise ValueError(f"kind must be one of {VALIDATION_KINDS}, found {kind!r}")
    rng = np.random.default_rng([SEED, zlib.crc32(os.fsencode(case))])
    sets = {label: _of_one(mask, kind, rng, slice_axis, spacing) for label, mask in masks.items()}
    return {
        label: own.with_negatives([o for other, o in sets.items() if other != label])
        for label, own in sets.items()
    }


def _of_one(
    mask: BoolArray,
    kind: str,
    rng: np.random.Generator,
    axis: int,
    spacing: Sequence[float] | None,
) -> PromptSet:
    if kind in SLICE_KINDS:
        options = SimulationOptions(
            boxes="box" in kind, points="points" in kind, max_points=5, slice_axis=axis
        )
        return simulate(mask, rng, kind="slices", options=options)
    box = bounding_box(mask)
    if kind == "none" or box is None:
        return PromptSet()
    if kind == "mask":
        return PromptSet(mask=corrupt(mask, rng, slice_axis=axis))
    if kind == "3D box":
        return PromptSet(boxes=(_box([(side.start, side.stop) for side in box]),))
    layers = Layers(mask, axis)
    slices = np.flatnonzero(layers.areas).tolist()
    if kind == "box in one slice":
        return PromptSet(boxes=(_box(layers.extent(slices[len(slices) // 2])),))
    if kind == "scribble in three slices":
        chosen = sorted({slices[len(slices) * part // 4] for part in (1, 2, 3)})
        strokes = [scribble_in(layers, k, rng, form="centre line") for k in chosen]
        return PromptSet(scribbles=tuple(chain.from_iterable(strokes)))
    first = deep_point(mask, spacing=spacing)
    assert first is not None  # the mask is not empty
    found = [list(first)]
    if kind == "three clicks":
        found += random_points(mask, 2, rng, deep=True).tolist()
    return PromptSet(points=tuple(Point(as_position((z, y, x))) for z, y, x in found))


def _box(spans: Sequence[tuple[int, int]]) -> Box:
    (a, b), (c, d), (e, f) = spans
    return Box((float(a), float(c), float(e)), (float(b), float(d), float(f)))
