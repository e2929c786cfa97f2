"""CSV files of napari: points, shapes and tracks.

    index,axis-0,axis-1,axis-2                             points
    index,shape-type,vertex-index,axis-0,axis-1,axis-2     shapes: rectangle, ellipse, line, path, polygon
    track_id,t,z,y,x                                       tracks: each is a scribble, in the order of its time t;
    track_id,axis-0,axis-1,axis-2,axis-3                   here axis-0 is the time

Axes are those of the array as it was shown. Most readers show the reversed axes of a NIfTI file, z, y, x; a program
that showed nibabel's array had x, y, z: the caller states which. Columns named z, y and x are the file's own axes.
Further columns may state of each row which label it is (`label`) and whether it is positive (`positive`).

A rectangle or an ellipse is a box, the smallest around it, one slice thick where it is flat; a line or a path is a
scribble, and so is a polygon, back to its beginning.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.prompt_files.label_text import LabelText
from nnunet_prompt.prompt_files.located import BodyAt, Located, PathAt, PointAt
from nnunet_prompt.prompt_files.prompts_json import MAX_NUMBER, shorten
from nnunet_prompt.prompts.checks import Coordinate
from nnunet_prompt.prompts.world import Space

Axes = Literal["zyx", "xyz"]
DEFAULT_AXES: Axes = "zyx"
SAMPLE = "index,axis-0,axis-1,axis-2 and below it 0,5,97,88 for a point in slice 5"
_SPACES: dict[Axes, Space] = {"zyx": "zyx", "xyz": "voxel"}
_TRACK = ("track_id", "track-id", "trackid", "id")
_TIME = ("t", "time", "frame")
_LABEL = ("label", "class", "structure")
_TRUE, _FALSE = ("1", "true", "positive", "pos", "+"), ("0", "false", "negative", "neg", "-")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file: its cells by column, and its position; `flat` if that had two coordinates."""

    where: str
    cells: dict[str, str]
    position: Coordinate
    flat: bool


def parse_napari(text: str, source: str, names: tuple[str, ...], axes: Axes) -> list[Located]:
    """The prompts of a CSV file; `source` is its name, `names` what that states of a label.

    Raises `PromptFileError` in one line with a sample for anything that is none of the three forms.
    """
    reader = csv.reader(text.splitlines())
    columns = [cell.strip().lower() for cell in next(reader, [])]
    where, space = _coordinates(columns, source, axes)
    rows = [
        _row(cells, columns, where, f"{source}: line {i}", axes)
        for i, cells in enumerate(reader, start=2)
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise PromptFileError(f"{source}: holds no prompt; expected for example {SAMPLE}")
    if "shape-type" in columns:
        return [_shape(group, names, space) for group in _groups(rows, "index")]
    track = _track_column(columns)
    if track is not None:
        return [_track(group, names, space) for group in _groups(rows, track)]
    return [_said(row, names, PointAt(row.position), space) for row in rows]


def _track_column(columns: Sequence[str]) -> str | None:
    """The column of track numbers; an `id` beside axis-N is a property of points."""
    names = [c for c in _TRACK if c in columns and (c != "id" or "axis-0" not in columns)]
    return names[0] if names else None


def _coordinates(columns: Sequence[str], source: str, axes: Axes) -> tuple[list[int], Space]:
    """Where the three coordinates stand, and what they count; two of a flat image are z = 0."""
    numbered = [c for c in columns if c.startswith("axis-")]
    if _track_column(columns) and numbered == [f"axis-{i}" for i in range(4)]:
        return [columns.index(c) for c in numbered[1:]], _SPACES[axes]
    if numbered in (["axis-0", "axis-1"], ["axis-0", "axis-1", "axis-2"]):
        return [columns.index(c) for c in numbered], _SPACES[axes]
    named = [c for c in ("x", "y", "z") if c in columns]
    if not numbered and named[:2] == ["x", "y"]:
        return [columns.index(c) for c in named], "voxel"
    raise PromptFileError(
        f"{source}: expected a CSV of napari with two or three columns axis-N, or x, y, z, found the columns"
        f" {shorten(','.join(columns))}; expected for example {SAMPLE}"
    )


def _row(
    cells: Sequence[str], columns: Sequence[str], where: Sequence[int], line: str, axes: Axes
) -> _Row:
    try:
        values = [float(cells[i]) for i in where]
    except (IndexError, ValueError):
        values = []
    if not values or not all(abs(v) <= MAX_NUMBER for v in values):
        found = shorten(",".join(cells))
        raise PromptFileError(
            f"{line}: expected {len(where)} finite coordinates, found {found}; expected for example {SAMPLE}"
        )
    flat = len(values) == 2
    if flat:
        values = (
            [0.0, *values] if columns[where[0]] == "axis-0" and axes == "zyx" else [*values, 0.0]
        )
    a, b, c = values
    return _Row(line, dict(zip(columns, cells, strict=False)), (a, b, c), flat)


def _groups(rows: Sequence[_Row], key: str) -> Iterator[list[_Row]]:
    """The rows of each shape or track, in the order of the file."""
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.cells.get(key, ""), []).append(row)
    yield from found.values()


def _shape(rows: Sequence[_Row], names: tuple[str, ...], space: Space) -> Located:
    first = rows[0]
    kind = first.cells.get("shape-type", "").strip().lower()
    corners = tuple(row.position for row in rows)
    if kind in ("rectangle", "ellipse"):
        return _said(first, names, BodyAt(corners), space)
    if kind in ("line", "path", "polygon"):
        back = corners[:1] if kind == "polygon" else ()
        return _said(first, names, PathAt((*corners, *back)), space)
    raise PromptFileError(
        f"{first.where}: shape-type: expected rectangle, ellipse, line, path or polygon, found {shorten(kind)}"
    )


def _track(rows: Sequence[_Row], names: tuple[str, ...], space: Space) -> Located:
    """Tracks have a time as their first axis, or a column of it; without, the order of the file is theirs."""
    time = next((c for c in ("axis-0", *_TIME) if c in rows[0].cells), None)
    if time == "axis-0" and "axis-3" not in rows[0].cells:
        time = next((c for c in _TIME if c in rows[0].cells), None)
    if time is not None:
        rows = sorted(rows, key=lambda row: _moment(row, time))
    return _said(rows[0], names, PathAt(tuple(row.position for row in rows)), space)


def _moment(row: _Row, column: str) -> float:
    try:
        return float(row.cells[column])
    except ValueError:
        found = shorten(row.cells[column])
        raise PromptFileError(f"{row.where}: {column}: expected a number, found {found}") from None


def _said(
    row: _Row, names: tuple[str, ...], what: PointAt | BodyAt | PathAt, space: Space
) -> Located:
    """A prompt that begins in this row."""
    said: Any = next((row.cells[c].strip() for c in _LABEL if row.cells.get(c)), "")
    if (
        said.endswith(".0") and said[:-2].isdigit()
    ):  # numbers that pandas made of a column with gaps
        said = said[:-2]
    label = LabelText((said, *names) if said else names)
    return Located(row.where, label, what, space, _positive(row), flat=row.flat)


def _positive(row: _Row) -> bool | None:
    said = row.cells.get("positive", "").strip().lower()
    if said in ("", *_TRUE, *_FALSE):
        return None if not said else said in _TRUE
    raise PromptFileError(f"{row.where}: positive: expected true or false, found {shorten(said)}")
