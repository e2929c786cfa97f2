"""Checks of what prompts are made of: coordinates, signs, extents, masks and slices.

Training makes thousands of prompts, so what is exact already passes in a few comparisons; the rest is made exact, or
raises `PromptError` with a sample of the right form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import items, shown, three_numbers, true_or_false, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError, PromptError

Coordinate = tuple[float, float, float]
Shape = tuple[int, int, int]
BoolArray = npt.NDArray[np.bool_]


def is_exact(value: Any) -> bool:
    """Whether these are coordinates as we keep them, which nearly all are."""
    if type(value) is not tuple or len(value) != 3:
        return False
    a, b, c = value
    return (
        type(a) is float
        and type(b) is float
        and type(c) is float
        and math.isfinite(a)
        and math.isfinite(b)
        and math.isfinite(c)
    )


def set_field(prompt: object, name: str, value: object) -> None:
    """Sets a field of a frozen dataclass, while it is made."""
    object.__setattr__(prompt, name, value)


def check_sign(prompt: object, positive: Any) -> None:
    """Sets `positive` to a bool; raises `PromptError` for anything else."""
    if positive is not True and positive is not False:
        try:
            set_field(prompt, "positive", true_or_false("positive", positive))
        except NNUNetPromptError as error:
            raise PromptError(str(error)) from None


def check_extent(prompt: object, extent: Any) -> None:
    """Sets `extent` to a tuple of floats; raises `PromptError` for negative ones and what is no three numbers."""
    if not is_exact(extent):
        extent = three_numbers("extent", extent)
        set_field(prompt, "extent", extent)
    if min(extent) < 0:
        raise PromptError(f"extent: expected three numbers from 0 on, found {extent}")


def as_vertices(path: Any) -> tuple[Coordinate, ...]:
    """The vertices of a line, from lists, tuples or an array (N, 3). Raises `PromptError` for anything else."""
    vertices = items(path)
    if vertices is None:
        raise PromptError(
            f"scribble: expected a path such as [(15, 33, 11), (16, 34, 11)], found {shown(path)}"
        )
    return tuple(three_numbers("scribble", vertex) for vertex in vertices)


def as_mask(mask: Any, name: str = "mask") -> BoolArray:
    """A mask of three axes as booleans; numbers must be 0 and 1. Raises `PromptError` for anything else."""
    if not isinstance(mask, np.ndarray) or mask.ndim != 3:
        raise PromptError(
            f"{name}: expected a boolean array of the image's shape, such as np.zeros(shape, bool), found {shown(mask)}"
        )
    if mask.dtype.kind == "b":
        return mask
    if mask.dtype.kind not in "uif" or not ((mask == 0) | (mask == 1)).all():
        raise PromptError(
            f"{name}: expected a boolean array, or one of 0 and 1, found {shown(mask)} with other values;"
            " of a label map give one label, such as labels == 500"
        )
    return mask.astype(bool)


def as_shape(shape: Any) -> Shape:
    """The shape of an array of three axes."""
    sizes = items(shape)
    if sizes is None or len(sizes) != 3:
        raise PromptError(
            f"shape: expected the shape of a volume, such as (38, 45, 14), found {shown(shape)}"
        )
    x, y, z = (whole_number("shape", size, lowest=1, example=38) for size in sizes)
    return x, y, z


def as_slices(slices: Any) -> dict[int, frozenset[int]]:
    """The labels of each slice, as whole numbers."""
    if not isinstance(slices, Mapping):
        raise PromptError(
            f"slices: expected labels by slice, such as {{11: {{500}}}}, found {shown(slices)}"
        )
    found = {}
    for number, labels in slices.items():
        k = whole_number("slices", number, lowest=0, example=11)
        here = list(labels) if isinstance(labels, (set, frozenset)) else items(labels)
        if here is None:
            raise PromptError(
                f"slices[{k}]: expected a set of labels, such as {{500}}, found {shown(labels)}"
            )
        found[k] = frozenset(whole_number(f"slices[{k}]", v, lowest=1, example=500) for v in here)
    return found


def as_named(named: Any) -> dict[int, str]:
    """The structure that answers for each label, by its name."""
    if not isinstance(named, Mapping) or not all(isinstance(v, str) for v in named.values()):
        raise PromptError(
            f"named: expected names of structures by label, such as {{500: 'LV'}}, found {shown(named)}"
        )
    return {whole_number("named", k, lowest=1, example=500): v for k, v in named.items()}


def check_position(kind: str, position: Coordinate, shape: Shape) -> None:
    """Raises `PromptError` for a position outside an array of `shape`."""
    if any(not -0.5 <= x < n - 0.5 for x, n in zip(position, shape, strict=True)):
        raise PromptError(f"{kind} {position} lies outside the image, whose shape is {shape}")
