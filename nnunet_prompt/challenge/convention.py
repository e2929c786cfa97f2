"""From the numbers of a prompts.json to prompts in the PLS frame, and back.

What the file leaves open (which axis x is, whether the second corner belongs to the box, how slices are counted) is a
`JsonConvention`. `RawCase.place` and `raw_slices` are the only places that know what its fields do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nnunet_prompt.errors import PromptError, PromptFileError
from nnunet_prompt.prompts.model import Box, CasePrompts, Point, PromptSet, Shape

MAX_POINTS = 5  # per slice and label
Pair = tuple[float, float]
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class JsonConvention:
    """What a prompts.json does not say about itself.

    order      "xy": x runs along axis 0 of the PLS slice and y along axis 1; "yx": the other way round
    base       the number of the first slice; pixels are always counted from 0
    inclusive  whether the second corner of a box is its last pixel; otherwise it is one past the last
    """

    order: Literal["xy", "yx"] = "xy"
    base: Literal[0, 1] = 0
    inclusive: bool = False

    def __post_init__(self) -> None:
        if self.order not in ("xy", "yx") or self.base not in (0, 1):
            raise PromptError(
                f"the order must be xy or yx and the base 0 or 1, found {self.order!r}, {self.base!r}"
            )

    def swap(self, x: float, y: float) -> Pair:
        """(x, y) of the file to (axis 0, axis 1) of the slice. Its own inverse."""
        return (x, y) if self.order == "xy" else (y, x)


DEFAULT = JsonConvention()


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """One label in one slice, in the numbers of the file: box x, y, x2, y2 with x <= x2 and y <= y2, points x, y."""

    box: Corners | None = None
    points: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Problems:
    """Collects what is wrong, each with the place in the file where it is: `prompts.json: case 'Case1' slice '3'`."""

    where: str
    found: list[str]

    def __call__(self, message: str) -> None:
        self.found.append(f"{self.where}: {message}")

    def below(self, kind: str, key: str) -> Problems:
        """The same collection, one step deeper; `key` is shown as given."""
        return Problems(f"{self.where} {kind} {key}", self.found)


@dataclass(frozen=True, slots=True)
class RawCase:
    """One case as its file has it: what could be read, and in `problems` what could not, each with its key path.

    A slice without prompts is an empty mapping. Swapped corners have been put right and points beyond the fifth left
    out, as `problems` tells.
    """

    where: str
    slices: Mapping[int, Mapping[int, RawPrompt]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def to_prompts(self, pls_shape: Shape, convention: JsonConvention = DEFAULT) -> CasePrompts:
        """The prompts in the PLS frame of an image of `pls_shape`.

        Raises `PromptFileError` for anything that is wrong with the case, on its own or beside this image.
        """
        prompts, problems = self.place(pls_shape, convention)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise PromptFileError(problems[0] + more)
        return prompts

    def place(
        self, pls_shape: Shape, convention: JsonConvention = DEFAULT
    ) -> tuple[CasePrompts, tuple[str, ...]]:
        """Like `to_prompts`, but mends what can be mended, leaves out the rest, and returns all that was wrong.

        Boxes are clipped to the image, empty ones get one pixel; points and slices outside are left out.
        """
        found = list(self.problems)
        placed: dict[int, dict[int, PromptSet]] = {}
        for number, labels in sorted(self.slices.items()):
            at = Problems(self.where, found).below("slice", f"'{number}'")
            k = number - convention.base
            if not 0 <= k < pls_shape[2]:
                last = convention.base + pls_shape[2] - 1
                at(f"the image has the slices {convention.base} to {last} along its third PLS axis")
                continue
            sets = {
                label: _place(raw, (k, pls_shape), convention, at.below("label", f"'{label}'"))
                for label, raw in labels.items()
            }
            placed[k] = {label: one for label, one in sets.items() if not one.empty}
        return _join(placed), tuple(found)


def raw_slices(
    prompts: CasePrompts, convention: JsonConvention = DEFAULT
) -> dict[int, dict[int, RawPrompt]]:
    """The way back: the slices that `prompts.slices` names, by their numbers in the file, empty ones included.

    Raises `PromptError` for what the file cannot say: another frame, negative prompts, scribbles, masks, boxes of more
    than one slice, two boxes or six points of a label in a slice, a prompt in a slice that is not named.
    """
    if prompts.frame != "PLS" or prompts.slices is None:
        raise PromptError("prompts.json holds prompts of the PLS frame with named slices only")
    slices: dict[int, dict[int, RawPrompt]] = {
        k + convention.base: {} for k in sorted(prompts.slices)
    }
    for label, one in sorted(prompts.labels.items()):
        _check_sayable(label, one)
        named = {float(k) for k in prompts.slices}
        used = {b.lower[2] for b in one.boxes} | {p.position[2] for p in one.points}
        if not used <= named:
            raise PromptError(
                f"label {label}: a prompt lies in a slice that the case does not name"
            )
        for k in sorted(used):
            boxes = [_corners(b, convention) for b in one.boxes if b.lower[2] == k]
            at_k = [p.position for p in one.points if p.position[2] == k]
            points = tuple(convention.swap(p[0], p[1]) for p in at_k)
            if len(boxes) > 1 or len(points) > MAX_POINTS:
                raise PromptError(
                    f"label {label}: at most one box and {MAX_POINTS} points per slice can be written,"
                    f" found {len(boxes)} and {len(points)} in slice {k:g}"
                )
            slices[int(k) + convention.base][label] = RawPrompt(boxes[0] if boxes else None, points)
    return slices


def _place(
    raw: RawPrompt, where: tuple[int, Shape], convention: JsonConvention, problems: Problems
) -> PromptSet:
    """The prompts in slice k of an image: `where` is (k, its PLS shape)."""
    k, (n, m, _) = where
    x, y = convention.swap(n, m)
    size = f"which has {x} pixels along x and {y} along y"
    points = []
    for x, y in raw.points:
        a, b = convention.swap(x, y)
        if -0.5 <= a < n - 0.5 and -0.5 <= b < m - 0.5:
            points.append(Point((a, b, k)))
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
    boxes = (Box((a, b, k), (c, d, k + 1)),) if a < c and b < d else ()
    return PromptSet(tuple(points), boxes)


def _join(placed: Mapping[int, Mapping[int, PromptSet]]) -> CasePrompts:
    """One prompt set per label from those of its slices."""
    labels = {}
    for label in sorted({label for sets in placed.values() for label in sets}):
        sets = [by_label[label] for by_label in placed.values() if label in by_label]
        points = tuple(p for one in sets for p in one.points)
        labels[label] = PromptSet(points, tuple(b for one in sets for b in one.boxes))
    return CasePrompts(labels, "PLS", {k: frozenset(sets) for k, sets in placed.items()})


def _corners(box: Box, convention: JsonConvention) -> Corners:
    last = 1 if convention.inclusive else 0
    lower = convention.swap(box.lower[0], box.lower[1])
    upper = convention.swap(box.upper[0] - last, box.upper[1] - last)
    if min(upper[0] - lower[0], upper[1] - lower[1]) < 0:
        raise PromptError("a box narrower than a pixel cannot be written with inclusive corners")
    return (*lower, *upper)


def _check_sayable(label: int, one: PromptSet) -> None:
    if one.scribbles or one.mask is not None:
        raise PromptError(f"label {label}: prompts.json holds points and boxes only")
    if not (all(p.positive for p in one.points) and all(b.positive for b in one.boxes)):
        raise PromptError(f"label {label}: prompts.json holds positive prompts only")
    if any(b.upper[2] != b.lower[2] + 1 for b in one.boxes):
        raise PromptError(f"label {label}: prompts.json holds boxes of one slice only")
