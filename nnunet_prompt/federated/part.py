"""What a site sends in place of weights: a part, which is a change of the base.

A network at a site is the base, plus the part that all sites share, plus the part that stays at the site. Dense tensors
(scales, shifts, biases, output layers) are stored as differences, the weights of convolutions as low-rank products
`up @ down`. Needs numpy alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ModelError

Array = npt.NDArray[np.float32]
MOST_NUMBERS: Final = 500_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """A change of a matrix of low rank: `up` (rows, rank) times `down` (rank, columns)."""

    up: Array
    down: Array

    @property
    def product(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.up.astype(np.float64) @ self.down.astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A change of the base, by the names of its tensors.

    * dense: differences that are added
    * low: products that are added, in the units of the weights (a LoRA's scale is part of `up`)
    """

    dense: Mapping[str, Array]
    low: Mapping[str, Factors]


@dataclass(frozen=True, slots=True)
class Layout:
    """The names and shapes of a part, in the order in which it is sent. Site and server each know it already."""

    arrays: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """The numbers that are sent."""
        return sum(int(np.prod(shape)) for _, shape in self.arrays)

    @property
    def digest(self) -> str:
        """A hash of names and shapes, by which two ends see that they mean the same."""
        return hashlib.sha256(repr(self.arrays).encode()).hexdigest()


def layout_of(part: Part) -> Layout:
    """The names and shapes of a part."""
    return Layout(tuple((name, array.shape) for name, array in _arrays(part)))


def layout_json(layout: Layout) -> str:
    """The layout as JSON, the way it is sent."""
    return json.dumps(layout.arrays)


def layout_of_json(text: str) -> Layout:
    """The inverse of `layout_json`. Raises `ModelError` for anything else, and for shapes beyond any network."""
    try:
        found = tuple((str(n), tuple(int(i) for i in shape)) for n, shape in json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"layout of a part: not names and shapes ({error})") from None
    layout = Layout(found)
    if any(i < 0 for _, shape in found for i in shape) or layout.size > MOST_NUMBERS:
        raise ModelError(
            f"layout of a part: expected at most {MOST_NUMBERS} numbers in shapes of no negative axis"
        )
    return layout


def pack_part(part: Part) -> Array:
    """The numbers of a part in one row: no name, no shape, and nothing else of the site."""
    rows = [array.ravel() for _, array in _arrays(part)]
    return np.concatenate([np.zeros(0, np.float32), *rows])


def unpack_part(numbers: npt.NDArray[Any], layout: Layout, *, source: str) -> Part:
    """The inverse of `pack_part`. `source` is who sent the numbers.

    Raises `ModelError` for another count of numbers and for numbers that are not finite: one of those would spread to
    all sites.
    """
    if numbers.dtype != np.float32 or numbers.shape != (layout.size,):
        raise ModelError(
            f"{source}: expected {layout.size} numbers of float32, found {numbers.shape} of {numbers.dtype}; start all"
            " sites from the same base with the same trainer"
        )
    if not np.isfinite(numbers).all():
        raise ModelError(
            f"{source}: sent numbers that are not finite; its training has diverged, lower its learning rate"
        )
    ends = np.cumsum([int(np.prod(shape)) for _, shape in layout.arrays])
    pieces = np.split(numbers, ends[:-1]) if layout.arrays else []
    named = {
        name: piece.reshape(shape).copy()
        for (name, shape), piece in zip(layout.arrays, pieces, strict=True)
    }
    return part_of(named)


def named_arrays(part: Part) -> dict[str, Array]:
    """The arrays of a part by names of their own: what is written to a file."""
    return dict(_arrays(part))


def part_of(named: Mapping[str, Array]) -> Part:
    """The inverse of `named_arrays`. Raises `ModelError` where one factor of a product is missing."""
    dense = {n.removeprefix("dense "): a for n, a in named.items() if n.startswith("dense ")}
    ups = {n.removeprefix("up "): a for n, a in named.items() if n.startswith("up ")}
    downs = {n.removeprefix("down "): a for n, a in named.items() if n.startswith("down ")}
    for name in sorted(ups.keys() ^ downs.keys()):
        raise ModelError(f"part, tensor {name}: expected `up` and `down`, found one of them")
    return Part(dense, {name: Factors(up, downs[name]) for name, up in ups.items()})


def add(first: Part, second: Part) -> Part:
    """The sum of two parts with the same names, exactly: of products the factors are put side by side.

    Where that has more columns than the matrix has rank, it is cut to that rank, which loses nothing but rounding.
    """
    _same_names(first, second)
    dense = {n: np.asarray(a + second.dense[n], np.float32) for n, a in first.dense.items()}
    low = {}
    for name, one in first.low.items():
        other = second.low[name]
        both = Factors(np.hstack([one.up, other.up]), np.vstack([one.down, other.down]))
        most = min(both.up.shape[0], both.down.shape[1])
        low[name] = both if both.up.shape[1] <= most else nearest(both, most)[0]
    return Part(dense, low)


def nearest(factors: Factors, rank: int) -> tuple[Factors, float]:
    """The nearest product of a rank (Eckart and Young), and the share of the squared norm that it loses.

    The whole matrix is never made. Both factors have the same norms, and a direction without any size keeps a `down`
    of length one, because two factors of zero could not be trained.
    """
    left, left_r = np.linalg.qr(factors.up.astype(np.float64))
    right, right_r = np.linalg.qr(factors.down.astype(np.float64).T)
    u, sizes, v = np.linalg.svd(left_r @ right_r.T, full_matrices=False)
    u, v = left @ u, (right @ v.T).T
    signs = np.where(u[np.abs(u).argmax(0), np.arange(u.shape[1])] < 0, -1.0, 1.0)
    kept = min(rank, len(sizes))
    total = float(np.sum(sizes**2))
    lost = float(np.sum(sizes[kept:] ** 2)) / total if total else 0.0
    roots = np.sqrt(sizes[:kept])
    empty = sizes[:kept] <= 1e-10 * max(float(sizes[0]) if len(sizes) else 0.0, 1e-30)
    up = (u * signs)[:, :kept] * np.where(empty, 0.0, roots)
    down = (v * signs[:, None])[:kept] * np.where(empty, 1.0, roots)[:, None]
    return Factors(up.astype(np.float32), down.astype(np.float32)), lost


def _arrays(part: Part) -> Iterator[tuple[str, Array]]:
    for name in sorted(part.dense):
        yield f"dense {name}", part.dense[name]
    for name in sorted(part.low):
        yield f"up {name}", part.low[name].up
        yield f"down {name}", part.low[name].down


def _same_names(first: Part, second: Part) -> None:
    for name in sorted(
        (first.dense.keys() ^ second.dense.keys()) | (first.low.keys() ^ second.low.keys())
    ):
        raise ModelError(
            f"part, tensor {name}: only one of two parts has it; start all sites from the same base with the"
            " same trainer"
        )
