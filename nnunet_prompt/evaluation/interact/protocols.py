"""The simulated users, one per protocol: each sees the reference and the mask so far, and prompts.

clicks    a click at the deepest point of the object, then each time one at the deepest point of the largest error:
          positive where the object is missed, negative where the mask is spurious
cvpr      a 3D box, then five such clicks, as in the CVPR 2025 and 2026 challenges of interactive 3D segmentation
autopet   six calls, as in autoPET V: the first without a prompt, then each time a stroke along the middle of the
          largest missed and of the largest spurious component, each in the slice that shows most of it
slices    as TFM4MedIA gives prompts: one to five points in every slice, then a box in every slice beside them, then
          such clicks

Depth counts mm. The user sees the object as it is on the image's own grid, and is the same for the same seed, case and
label.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.clicks import as_position, deep_point, error_components
from nnunet_prompt.prompts.draw import scribble_in
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import Box, Point, Scribble
from nnunet_prompt.prompts.voxels import Layers, bounding_box

ProtocolName = Literal["clicks", "cvpr", "autopet", "slices"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
INTERACTIONS = {"clicks": 6, "cvpr": 6, "autopet": 6, "slices": 5}  # of a run that names no number
Given = Point | Box | Scribble


@dataclass(frozen=True, slots=True)
class View:
    """The view of the user: reference and mask so far, boolean (X, Y, Z), voxel size in mm, axis of the slices."""

    target: BoolArray
    mask: BoolArray
    spacing_mm: tuple[float, float, float]
    slice_axis: int = 2


def generator(seed: int, case: str, label: int) -> np.random.Generator:
    """The chance of one label of one case."""
    return np.random.default_rng([seed, zlib.crc32(os.fsencode(case)), label])


def next_prompts(
    protocol: ProtocolName, step: int, view: View, rng: np.random.Generator
) -> tuple[Given, ...]:
    """The prompts of interaction `step`, from 0; none where there is nothing left to correct.

    Raises `ValueError` for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}, found {protocol!r}")
    if protocol == "autopet":
        return _strokes(view, rng) if step else ()
    if protocol == "cvpr" and step == 0:
        return _box(view.target)
    if protocol == "slices" and step < 2:
        options = SimulationOptions(boxes=step == 1, points=step == 0, slice_axis=view.slice_axis)
        made = simulate(view.target, rng, kind="slices", options=options)
        return (*made.points, *made.boxes)
    return _click(view)


def _click(view: View) -> tuple[Given, ...]:
    errors = error_components(view.target, view.mask)
    if not errors:
        return ()
    component, positive = errors[0]
    place = deep_point(component, spacing=view.spacing_mm)
    assert place is not None  # a component has voxels
    return (Point(as_position(place), positive),)


def _box(target: BoolArray) -> tuple[Given, ...]:
    spans = bounding_box(target)
    if spans is None:
        return ()
    a, b, c = spans
    lower = (float(a.start), float(b.start), float(c.start))
    return (Box(lower, (float(a.stop), float(b.stop), float(c.stop))),)


def _strokes(view: View, rng: np.random.Generator) -> tuple[Given, ...]:
    strokes: list[Scribble] = []
    for wrong, positive in (
        (view.target & ~view.mask, True),
        (view.mask & ~view.target, False),
    ):
        for component, _ in error_components(wrong, np.zeros_like(wrong)):
            layers = Layers(component, view.slice_axis)
            index = int(layers.areas.argmax())
            strokes += scribble_in(layers, index, rng, positive=positive, form="centre line")
    return tuple(strokes)


def slice_axis(spacing_mm: Sequence[float]) -> int:
    """The axis through the slices of an image: that of the largest spacing, the last where all are alike."""
    widest = max(spacing_mm)
    return max(axis for axis, width in enumerate(spacing_mm) if width >= 0.999 * widest)
