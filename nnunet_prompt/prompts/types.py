"""The types of prompts: points, boxes, scribbles, masks, and sets of them.

Coordinates are voxel indices of one array, in the order of its three axes; index i is the centre of the interval
[i - 0.5, i + 0.5]. A prompt belongs to that array: to use it with another one, move it there with
`nnunet_prompt.prompts.frames`. Arrays of two axes are treated as one slice, `(1, Y, X)`.

Everything here checks itself: lists, numpy arrays and integers become tuples of floats, and what cannot be meant raises
`PromptError`. Training makes thousands of these objects, so what is exact already must pass in a few comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from nnunet_prompt.common.arguments import (
    LARGEST_LABEL,
    items,
    one_of,
    shown,
    three_numbers,
    whole_number,
)
from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.checks import (
    BoolArray,
    Coordinate,
    Shape,
    as_mask,
    as_named,
    as_shape,
    as_slices,
    as_vertices,
    check_extent,
    check_position,
    check_sign,
    is_exact,
    set_field,
)

VOXEL: Coordinate = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Point:
    """A click at `position`. `extent` is half the size of what was clicked, one voxel of the array of its birth.

    The extent grows when the point moves to a finer grid, so that a click on a 12 mm slice stays 12 mm thick. Raises
    `PromptError` for what is not three finite numbers.

    >>> Point((88, 97, 5), positive=False).position
    (88.0, 97.0, 5.0)
    """

    position: Coordinate
    positive: bool = True
    extent: Coordinate = VOXEL

    def __post_init__(self) -> None:
        if not is_exact(self.position):
            set_field(self, "position", three_numbers("point", self.position))
        check_sign(self, self.positive)
        if self.extent is not VOXEL:
            check_extent(self, self.extent)


@dataclass(frozen=True, slots=True)
class Box:
    """A box, half-open in voxel indices: it covers lower <= i < upper, with its edges at lower-0.5 and upper-0.5.

    A 2D box is a box of one slice. Raises `PromptError` for corners that are reversed or not three finite numbers.

    >>> Box((70, 80, 5), (110, 120, 6)).upper  # in slice 5
    (110.0, 120.0, 6.0)
    """

    lower: Coordinate
    upper: Coordinate
    positive: bool = True

    def __post_init__(self) -> None:
        if not is_exact(self.lower):
            set_field(self, "lower", three_numbers("box", self.lower))
        if not is_exact(self.upper):
            set_field(self, "upper", three_numbers("box", self.upper))
        (a, b, c), (d, e, f) = self.lower, self.upper
        if not (a < d and b < e and c < f):
            raise PromptError(
                f"box: every lower corner must be below its upper corner, found {self.lower} and {self.upper};"
                " a box in one slice k reaches from k to k + 1"
            )
        check_sign(self, self.positive)


@dataclass(frozen=True, slots=True)
class Scribble:
    """A polyline through `path`, voxel positions, at least one. Raises `PromptError` for another path.

    >>> len(Scribble([(80, 90, 5), (88, 97, 5), (95, 99, 5)]).path)
    3
    """

    path: tuple[Coordinate, ...]
    positive: bool = True
    extent: Coordinate = VOXEL

    def __post_init__(self) -> None:
        if type(self.path) is not tuple or not all(map(is_exact, self.path)):
            set_field(self, "path", as_vertices(self.path))
        if not self.path:
            raise PromptError("scribble: a path needs at least one vertex, found none")
        check_sign(self, self.positive)
        if self.extent is not VOXEL:
            check_extent(self, self.extent)


@dataclass(frozen=True, slots=True, eq=False)
class PromptSet:
    """All that is stated about one object: its points, boxes, scribbles, a rough mask and a negative mask.

    `mask` and `negative_mask` are boolean with the shape of the array that the set belongs to. The negative mask is
    where the object is not, other structures for example; it shares the channel of the negative boxes. Raises
    `PromptError` for other members.

    >>> said = PromptSet(points=[Point((88, 97, 5))], boxes=[Box((70, 80, 5), (110, 120, 6))])
    >>> said.says_where
    True
    """

    points: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    scribbles: tuple[Scribble, ...] = ()
    mask: BoolArray | None = None
    negative_mask: BoolArray | None = None

    def __post_init__(self) -> None:
        if type(self.points) is not tuple or set(map(type, self.points)) - {Point}:
            set_field(self, "points", _members("points", self.points, Point))
        if type(self.boxes) is not tuple or set(map(type, self.boxes)) - {Box}:
            set_field(self, "boxes", _members("boxes", self.boxes, Box))
        if type(self.scribbles) is not tuple or set(map(type, self.scribbles)) - {Scribble}:
            set_field(self, "scribbles", _members("scribbles", self.scribbles, Scribble))
        if self.mask is not None:
            set_field(self, "mask", as_mask(self.mask))
        if self.negative_mask is not None:
            set_field(self, "negative_mask", as_mask(self.negative_mask, "negative mask"))

    @property
    def empty(self) -> bool:
        """True if all seven channels would be zero everywhere."""
        no_mask = all(m is None or not m.any() for m in (self.mask, self.negative_mask))
        return not (self.points or self.boxes or self.scribbles) and no_mask

    @property
    def says_where(self) -> bool:
        """Whether anything positive is stated: a point, a box, a scribble or a mask that is not empty."""
        given: tuple[Point | Box | Scribble, ...] = (*self.points, *self.boxes, *self.scribbles)
        return any(p.positive for p in given) or (self.mask is not None and bool(self.mask.any()))

    def with_negatives(self, others: Iterable[PromptSet]) -> PromptSet:
        """This set and, as negative points, the positive points of `others` (the other structures of the case)."""
        others = _members(
            "others", list(others) if isinstance(others, Iterable) else others, PromptSet
        )
        negatives = tuple(
            Point(p.position, False, p.extent)
            for other in others
            for p in other.points
            if p.positive
        )
        return replace(self, points=self.points + negatives)

    def check_inside(self, shape: Shape) -> None:
        """Raises `PromptError` if a prompt lies outside an array of `shape`, or the mask has another shape."""
        shape = as_shape(shape)
        for p in self.points:
            check_position("point", p.position, shape)
        for s in self.scribbles:
            for vertex in s.path:
                check_position("scribble vertex", vertex, shape)
        for b in self.boxes:
            if any(lo < 0 or hi > n for lo, hi, n in zip(b.lower, b.upper, shape, strict=True)):
                raise PromptError(
                    f"box {b.lower} to {b.upper} leaves the image, whose shape is {shape}"
                )
        for name, mask in (("mask", self.mask), ("negative mask", self.negative_mask)):
            if mask is not None and mask.shape != shape:
                raise PromptError(f"{name}: expected the image's shape {shape}, found {mask.shape}")


FrameName = Literal["file", "PLS"]


@dataclass(frozen=True, slots=True, eq=False)
class CasePrompts:
    """The prompts of one case, per label id, in one frame of its image file.

    `slices` states which labels may appear in which slice along `slice_axis` of the PLS frame; slices that it does
    not name stay empty. None means that there is no such rule. `named` are labels that nothing points at, with the name
    of the structure of the model that answers for each. Raises `PromptError` for another form.
    """

    labels: Mapping[int, PromptSet] = field(default_factory=dict)
    frame: FrameName = "file"
    slices: Mapping[int, frozenset[int]] | None = None
    slice_axis: int = 2
    named: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Mapping):
            raise PromptError(
                f"labels: expected prompts by label, such as {{500: PromptSet(points=[Point((15, 33, 11))])}},"
                f" found {shown(self.labels)}"
            )
        if not all(type(k) is int and k > 0 for k in self.labels):
            keys = [
                whole_number("label", k, lowest=1, highest=LARGEST_LABEL, example=500)
                for k in self.labels
            ]
            set_field(self, "labels", dict(zip(keys, self.labels.values(), strict=True)))
        for label, said in self.labels.items():
            if type(said) is not PromptSet:
                raise PromptError(
                    f"labels[{label}]: expected a PromptSet, such as PromptSet(points=[Point((15, 33, 11))]),"
                    f" found {shown(said)}"
                )
        one_of("frame", self.frame, get_args(FrameName))
        axis = whole_number("slice_axis", self.slice_axis, lowest=0, highest=2, example=2)
        set_field(self, "slice_axis", axis)
        if self.slices is not None:
            set_field(self, "slices", as_slices(self.slices))
        if self.named:
            set_field(self, "named", as_named(self.named))

    @property
    def says_where(self) -> bool:
        """Whether something is looked for where prompts point: False where all labels are named."""
        return bool(self.labels) or not self.named


def _members(name: str, found: Any, kind: type[Any]) -> tuple[Any, ...]:
    """The members of a set of one kind, as a tuple; triples of numbers become points."""
    members = items(found)
    if members is not None and kind is Point:
        members = [m if isinstance(m, (Point, Box, Scribble)) else Point(m) for m in members]
    if members is None or not all(isinstance(m, kind) for m in members):
        stranger = next((m for m in members or () if not isinstance(m, kind)), found)
        raise PromptError(
            f"{name}: expected a tuple of {kind.__name__}, such as (p, q), found {shown(stranger)}"
        )
    return tuple(members)
