"""Prompts as a file has them, in the space in which it has them, and the way from there into an image.

A file is read before its image is known, and the model's structures may be known later still. So readers make `Located`
prompts, and `place` makes of those of one case prompts of the image file's array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError, PromptFileError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files.label_text import LabelText, understand
from nnunet_prompt.prompt_files.text import Text, understand_texts
from nnunet_prompt.prompts.checks import Coordinate
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.prompts.world import Edges, Space, ToVoxels, enclosing, to_voxels

Warn = Callable[[str], None]
BoolArray = npt.NDArray[np.bool_]
AT_MOST_CUT = 0.01  # voxels by which a box may leave the image without a word


@dataclass(frozen=True, slots=True)
class PointAt:
    """A point at a position."""

    position: Coordinate


@dataclass(frozen=True, slots=True)
class BoxAt:
    """A box of voxels, half-open, in the axis order of the image file."""

    lower: Coordinate
    upper: Coordinate


@dataclass(frozen=True, slots=True)
class BodyAt:
    """A box by its corners, any number of them, in continuous positions; it may be rotated against the image."""

    corners: tuple[Coordinate, ...]


@dataclass(frozen=True, slots=True)
class PathAt:
    """A scribble through these vertices."""

    path: tuple[Coordinate, ...]


@dataclass(frozen=True, slots=True)
class MaskAt:
    """A rough mask in a file; `read` puts it on the grid of an image, or raises `PromptError` if it does not fit."""

    path: Path
    read: Callable[[NiftiVolume, Warn], BoolArray]


@dataclass(frozen=True, slots=True)
class TextAt:
    """A phrase that names a structure, anywhere in the image."""

    phrase: str


@dataclass(frozen=True, slots=True)
class Located:
    """One prompt of a file. `where` is its place in the file, for messages; `positive` None leaves it to the label.

    `flat` is for positions of two coordinates: the image must be a single slice. A text may have a label without
    candidates, for the value of the structure that it means.
    """

    where: str
    label: LabelText
    what: PointAt | BoxAt | BodyAt | PathAt | MaskAt | TextAt
    space: Space = "voxel"
    positive: bool | None = None
    flat: bool = False


def place(
    prompts: Sequence[Located], image: NiftiVolume, table: StructureTable | None, warn: Warn
) -> CasePrompts:
    """The prompts of one case in the file frame of its image; names of labels are those of `table`.

    A box that is rotated against the image becomes the smallest box of voxels around it, and one that leaves the image
    is cut off there; `warn` gets a line about either (a box that counts voxels is refused instead), and about a text
    that names nothing. Raises `PromptFileError` for labels that are not known, positions outside the image, masks that
    do not fit it, and where nothing is left.
    """
    sets: dict[int, _Gathered] = {}
    keys: dict[int, str] = {}
    for one in prompts:
        try:
            if not one.label.candidates:
                continue  # a text without a label
            meaning = understand(one.label, table)
            if one.label.exact:
                _check_once(keys, meaning.label, one.label.candidates[0])
            if isinstance(one.what, TextAt):
                continue
            if isinstance(one.what, MaskAt) and meaning.candidate:
                warn(f"{one.where}: its name is not a label; taken as label {meaning.label}")
            positive = one.positive if one.positive is not None else meaning.positive
            here = sets.setdefault(meaning.label, _Gathered(image, warn))
            here.add(one, positive is not False)
        except NNUNetPromptError as error:
            raise PromptFileError(f"{one.where}: {error}") from error
    meant = understand_texts(texts_of(prompts, table), sets, table)
    report_texts(meant.lines, warn, left=bool(sets or meant.named))
    labels = {label: found.prompts() for label, found in sets.items()}
    return CasePrompts(labels, named=meant.named)


def texts_of(prompts: Iterable[Located], table: StructureTable | None) -> list[Text]:
    """The texts among the prompts. Raises `PromptError` for a label that is not known."""
    found = []
    for one in prompts:
        if isinstance(one.what, TextAt):
            label = understand(one.label, table).label if one.label.candidates else None
            found.append(Text(one.where, one.what.phrase, label))
    return found


def report_texts(lines: Sequence[str], warn: Warn, *, left: bool) -> None:
    """Warns of texts that were refused. Raises `PromptFileError` with the first where nothing is `left`."""
    if lines and not left:
        raise PromptFileError(lines[0] + (f" (and {len(lines) - 1} more)" if lines[1:] else ""))
    for line in lines:
        warn(line)


def _check_once(keys: dict[int, str], label: int, key: str) -> None:
    if keys.setdefault(label, key) != key:
        raise PromptError(
            f"{keys[label]!r} and {key!r} both mean label {label}: put their prompts under one key"
        )


class _Gathered:
    """The prompts of one label of a case, on their way into a set."""

    def __init__(self, image: NiftiVolume, warn: Warn) -> None:
        self.image, self.warn = image, warn
        self.points: list[Point] = []
        self.boxes: list[Box] = []
        self.scribbles: list[Scribble] = []
        self.masks: dict[bool, BoolArray] = {}

    def prompts(self) -> PromptSet:
        return PromptSet(
            tuple(self.points),
            tuple(self.boxes),
            tuple(self.scribbles),
            self.masks.get(True),
            self.masks.get(False),
        )

    def add(self, prompt: Located, positive: bool) -> None:
        """Moves a prompt into the image. Raises `PromptError` where it does not fit there."""
        there, what = to_voxels(prompt.space, self.image.affine), prompt.what
        if prompt.flat and self.image.shape[2] != 1:
            raise PromptError(
                f"two coordinates, but the image has {self.image.shape[2]} slices: three are needed"
            )
        if isinstance(what, PointAt):
            (position,) = self._inside("point", there, [what.position])
            self.points.append(Point(position, positive))
        elif isinstance(what, PathAt):
            vertices = self._inside("scribble vertex", there, what.path)
            self.scribbles.append(Scribble(tuple(vertices), positive))
        elif isinstance(what, BoxAt):
            box = Box(what.lower, what.upper, positive)
            PromptSet(boxes=(box,)).check_inside(self.image.shape)
            self.boxes.append(box)
        elif isinstance(what, BodyAt):
            edges = enclosing(there(what.corners))
            if edges.rotated:
                self.warn(
                    f"{prompt.where}: the box is rotated against the axes of the image; taken is the smallest box of"
                    f" voxels around it, {_rounded(edges.lower)} to {_rounded(edges.upper)}"
                )
            self.boxes.append(self._cut(edges, positive, prompt.where))
        elif isinstance(what, MaskAt):
            self._add_mask(what.read(self.image, self.warn), positive)

    def _inside(
        self, kind: str, there: ToVoxels, positions: Sequence[Coordinate]
    ) -> list[Coordinate]:
        """The voxel positions; raises `PromptError` for the first outside the image."""
        found = []
        for given, (x, y, z) in zip(positions, there(positions).tolist(), strict=True):
            if any(
                not -0.5 <= v < n - 0.5 for v, n in zip((x, y, z), self.image.shape, strict=True)
            ):
                voxel = "" if there.space == "voxel" else f" (voxel {_rounded((x, y, z))})"
                unit = f" mm, {there.space}," if there.is_mm else ""
                raise PromptError(
                    f"{kind} {given}{unit}{voxel} lies outside the image, whose shape is {self.image.shape}"
                    + _hint(there.space)
                )
            found.append((x, y, z))
        return found

    def _cut(self, edges: Edges, positive: bool, where: str) -> Box:
        """The box of these edges within the image."""
        lower = np.asarray(edges.lower) + 0.5
        upper = np.asarray(edges.upper) + 0.5
        corners = edges.cut_to(self.image.shape)
        if corners is None:
            raise PromptError(
                f"the box lies outside the image: it covers the voxels {_rounded(lower)} to {_rounded(upper)} of"
                f" the shape {self.image.shape}"
            )
        if max((corners[0] - lower).max(), (upper - corners[1]).max()) > AT_MOST_CUT:
            self.warn(f"{where}: the box leaves the image and is cut off at its border")
        return Box(*corners, positive)

    def _add_mask(self, mask: BoolArray, positive: bool) -> None:
        before = self.masks.get(positive)
        self.masks[positive] = mask if before is None else before | mask


def _hint(space: Space) -> str:
    if space == "zyx":
        return "; axis-0, axis-1, axis-2 are taken as z, y, x: give --axes xyz if the array was shown reversed"
    return "; is it the right image, and the right coordinate system?" if space != "voxel" else ""


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 2) + 0.0 for v in values]
