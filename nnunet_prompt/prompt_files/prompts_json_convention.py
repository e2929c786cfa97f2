"""From the numbers of a prompts.json to prompts in the PLS frame, and back.

What the file leaves open (which axis x is, whether the second corner belongs to the box, how slices are counted) is a
`JsonConvention`, which the user gives or `prompt_files.infer_convention` finds. `RawCase.place` and `raw_slices` are
the only places that know what its fields do. Slices lie along one axis of the PLS frame, nearly always the third; x and
y are the other two, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nnunet_prompt.common.errors import PromptError, PromptFileError
from nnunet_prompt.prompt_files.text import Text
from nnunet_prompt.prompts.checks import Coordinate, Shape
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet

MAX_POINTS = 5  # per slice and label
Order = Literal["xy", "yx"]
Base = Literal[0, 1]
Pair = tuple[float, float]
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class JsonConvention:
    """The convention of a prompts.json, which the file does not state itself.

    order      "xy": x runs along the first axis of the slice (0 of PLS) and y along the second; "yx": the other way
    base       the number of the first slice; pixels are always counted from 0
    inclusive  whether the second corner of a box is its last pixel; otherwise it is one past the last
    """

    order: Order = "xy"
    base: Base = 0
    inclusive: bool = False

    def __post_init__(self) -> None:
        if self.order not in ("xy", "yx") or self.base not in (0, 1):
            raise PromptError(
                f"the order must be xy or yx and the base 0 or 1, found {self.order!r}, {self.base!r}"
            )

    def swap(self, x: float, y: float) -> Pair:
        """(x, y) of the file to the two axes of the slice. Its own inverse."""
        return (x, y) if self.order == "xy" else (y, x)


DEFAULT = JsonConvention()


@dataclass(frozen=True, slots=True)
class GivenConvention:
    """The part of a `JsonConvention` that the user gave; None is inferred from the prompts and images."""

    order: Order | None = None
    base: Base | None = None
    inclusive: bool | None = None

    def __post_init__(self) -> None:
        known = self.order in (None, "xy", "yx") and self.base in (None, 0, 1)
        if not known or self.inclusive not in (None, True, False):
            raise PromptError(
                "convention: expected the order xy or yx, the base 0 or 1, inclusive True or False, or None where it is"
                f" not known, found {self.order!r}, {self.base!r}, {self.inclusive!r}"
            )


ALL_OPEN = GivenConvention()


def given_convention(order: str, base: str, inclusive: str) -> GivenConvention:
    """From the words of the command line: xy, yx; 0, 1; yes, no; anything else, such as auto, leaves it open."""
    orders: dict[str, Order] = {"xy": "xy", "yx": "yx"}
    bases: dict[str, Base] = {"0": 0, "1": 1}
    ends = {"yes": True, "no": False}
    return GivenConvention(orders.get(order), bases.get(base), ends.get(inclusive))


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """One label in one slice, in the numbers of the file: box x, y, x2, y2 with x <= x2 and y <= y2, points x, y."""

    box: Corners | None = None
    points: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Problems:
    """Collects what is wrong, each with the place in the file where it is: `prompts.json: case 'Case1' slice '3'`."""

    where: str
    messages: list[str]

    def __call__(self, message: str) -> None:
        self.messages.append(f"{self.where}: {message}")

    def below(self, kind: str, key: str) -> Problems:
        """The same collection, one step deeper; `key` is shown as given."""
        return Problems(f"{self.where} {kind} {key}", self.messages)


@dataclass(frozen=True, slots=True)
class RawCase:
    """One case as its file has it: what could be read, and in `problems` what could not, each with its key path.

    A slice without prompts is an empty mapping. Swapped corners have been put right and points beyond the fifth left
    out, as `problems` states. `texts` are its words, which `prompts_json_text` places.
    """

    where: str
    slices: Mapping[int, Mapping[int, RawPrompt]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()

    def to_prompts(
        self, pls_shape: Shape, convention: JsonConvention = DEFAULT, slice_axis: int = 2
    ) -> CasePrompts:
        """The prompts in the PLS frame of an image of `pls_shape`, its slices along `slice_axis`.

        Raises `PromptFileError` for anything that is wrong with the case, on its own or beside this image.
        """
        prompts, problems = self.place(pls_shape, convention, slice_axis)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise PromptFileError(problems[0] + more)
        return prompts

    def place(
        self, pls_shape: Shape, convention: JsonConvention = DEFAULT, slice_axis: int = 2
    ) -> tuple[CasePrompts, tuple[str, ...]]:
        """Like `to_prompts`, but repairs what can be repaired, leaves out the rest, and returns all that was wrong.

        Boxes are clipped to the image, empty ones get one pixel; points and slices outside are left out.
        """
        found = list(self.problems)
        placed: dict[int, dict[int, PromptSet]] = {}
        for number, labels in sorted(self.slices.items()):
            at = Problems(self.where, found).below("slice", f"'{number}'")
            k = number - convention.base
            if not 0 <= k < pls_shape[slice_axis]:
                last = convention.base + pls_shape[slice_axis] - 1
                name = ("first", "second", "third")[slice_axis]
                at(
                    f"the image has the slices {convention.base} to {last} along its {name} PLS axis"
                )
                continue
            here = _Slice(k, slice_axis, pls_shape)
            sets = {
                label: _place(raw, here, convention, at.below("label", f"'{label}'"))
                for label, raw in labels.items()
            }
            placed[k] = {label: one for label, one in sets.items() if not one.empty}
        return _join(placed, slice_axis), tuple(found)


def plane_axes(slice_axis: int) -> tuple[int, int]:
    """The two axes of a slice, in their order."""
    first, second = (axis for axis in range(3) if axis != slice_axis)
    return first, second


def raw_slices(
    prompts: CasePrompts, convention: JsonConvention = DEFAULT
) -> dict[int, dict[int, RawPrompt]]:
    """The way back: the slices that `prompts.slices` names, by their numbers in the file, empty ones included.

    Raises `PromptError` for what no file can state: another frame, negative prompts, scribbles, masks, boxes of more
    than one slice, two boxes or six points of a label in a slice, a prompt in a slice that is not named.
    """
    if prompts.frame != "PLS" or prompts.slices is None:
        raise PromptError("prompts.json holds prompts of the PLS frame with named slices only")
    slices: dict[int, dict[int, RawPrompt]] = {
        k + convention.base: {} for k in sorted(prompts.slices)
    }
    axis = prompts.slice_axis
    first, second = plane_axes(axis)
    for label, one in sorted(prompts.labels.items()):
        _check_sayable(label, one, axis)
        named = {float(k) for k in prompts.slices}
        used = {b.lower[axis] for b in one.boxes} | {p.position[axis] for p in one.points}
        if not used <= named:
            raise PromptError(
                f"label {label}: a prompt lies in a slice that the case does not name"
            )
        for k in sorted(used):
            boxes = [_corners(b, convention, axis) for b in one.boxes if b.lower[axis] == k]
            at_k = [p.position for p in one.points if p.position[axis] == k]
            points = tuple(convention.swap(p[first], p[second]) for p in at_k)
            if len(boxes) > 1 or len(points) > MAX_POINTS:
                raise PromptError(
                    f"label {label}: at most one box and {MAX_POINTS} points per slice can be written,"
                    f" found {len(boxes)} and {len(points)} in slice {k:g}"
                )
            slices[int(k) + convention.base][label] = RawPrompt(boxes[0] if boxes else None, points)
    return slices


@dataclass(frozen=True, slots=True)
class _Slice:
    """Slice k along `axis` of an image whose PLS shape is `shape`."""

    k: int
    axis: int
    shape: Shape

    @property
    def size(self) -> tuple[int, int]:
        first, second = plane_axes(self.axis)
        return self.shape[first], self.shape[second]

    def lift(self, position: Pair, k: float) -> Coordinate:
        """A position in the slice as one in the volume, its place along the axis being k."""
        values = list(position)
        values.insert(self.axis, k)
        a, b, c = values
        return a, b, c


def _place(
    raw: RawPrompt, here: _Slice, convention: JsonConvention, problems: Problems
) -> PromptSet:
    n, m = here.size
    x, y = convention.swap(n, m)
    size = f"which has {x} pixels along x and {y} along y"
    points = []
    for x, y in raw.points:
        a, b = convention.swap(x, y)
        if -0.5 <= a < n - 0.5 and -0.5 <= b < m - 0.5:
            points.append(Point(here.lift((a, b), here.k)))
        else:
            problems(f"point {[x, y]}: lies outside the image, {size}")
    if raw.box is None:
        return PromptSet(tuple(points))
    (a, b), (c, d) = convention.swap(*raw.box[:2]), convention.swap(*raw.box[2:])
    c, d = c + convention.inclusive, d + convention.inclusive
    if c <= a or d <= b:
        problems(f"box {[*raw.box]}: is empty, as its second corner is one past its last pixel")
        c, d = max(c, a + 1), max(d, b + 1)
    if a < 0 or b < 0 or c > n or d > m:
        problems(f"box {[*raw.box]}: leaves the image, {size}")
    a, b, c, d = max(a, 0), max(b, 0), min(c, n), min(d, m)
    if a >= c or b >= d:
        return PromptSet(tuple(points))
    box = Box(here.lift((a, b), here.k), here.lift((c, d), here.k + 1))
    return PromptSet(tuple(points), (box,))


def _join(placed: Mapping[int, Mapping[int, PromptSet]], slice_axis: int) -> CasePrompts:
    """One prompt set per label from those of its slices."""
    labels = {}
    for label in sorted({label for sets in placed.values() for label in sets}):
        sets = [by_label[label] for by_label in placed.values() if label in by_label]
        points = tuple(p for one in sets for p in one.points)
        labels[label] = PromptSet(points, tuple(b for one in sets for b in one.boxes))
    slices = {k: frozenset(sets) for k, sets in placed.items()}
    return CasePrompts(labels, "PLS", slices, slice_axis)


def _corners(box: Box, convention: JsonConvention, slice_axis: int) -> Corners:
    last = 1 if convention.inclusive else 0
    first, second = plane_axes(slice_axis)
    lower = convention.swap(box.lower[first], box.lower[second])
    upper = convention.swap(box.upper[first] - last, box.upper[second] - last)
    if min(upper[0] - lower[0], upper[1] - lower[1]) < 0:
        raise PromptError("a box narrower than a pixel cannot be written with inclusive corners")
    return (*lower, *upper)


def _check_sayable(label: int, one: PromptSet, slice_axis: int) -> None:
    if one.scribbles or one.mask is not None:
        raise PromptError(f"label {label}: prompts.json holds points and boxes only")
    if not (all(p.positive for p in one.points) and all(b.positive for b in one.boxes)):
        raise PromptError(f"label {label}: prompts.json holds positive prompts only")
    if any(b.upper[slice_axis] != b.lower[slice_axis] + 1 for b in one.boxes):
        raise PromptError(f"label {label}: prompts.json holds boxes of one slice only")
