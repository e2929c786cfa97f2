"""Markups of 3D Slicer: `.mrk.json` (points, ROI boxes, lines and curves) and the older `.fcsv` (points).

    {"@schema": ".../markups-schema-v1.0.3.json#", "markups": [{"type": "Fiducial", "name": "LV",
      "coordinateSystem": "LPS", "controlPoints": [{"label": "LV-1", "position": [x, y, z]}]}]}

Positions are mm. Fiducial: points. ROI: a box, which may be rotated. Line, Curve: a scribble through the control
points, straight between them, whatever the curve is in Slicer; ClosedCurve: the same, back to its beginning. The label
is named by a control point's description or label, by the name of the markup or by the name of the file.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.prompt_files.label_text import LabelText
from nnunet_prompt.prompt_files.located import BodyAt, Located, PathAt, PointAt
from nnunet_prompt.prompt_files.prompts_json import MAX_NUMBER, shorten
from nnunet_prompt.prompts.checks import Coordinate
from nnunet_prompt.prompts.world import Space

SAMPLE = (
    '{"markups": [{"type": "Fiducial", "name": "LV", "coordinateSystem": "LPS",'
    ' "controlPoints": [{"label": "LV-1", "position": [10.5, -22, 31]}]}]}'
)
_ABSENT = ("undefined", "preview", "missing")  # control points that were not placed
_UNIT_TO_MM = {"mm": 1.0, "um": 1e-3}
_FCSV_SPACES: Mapping[str, Space] = {"0": "RAS", "1": "LPS", "RAS": "RAS", "LPS": "LPS"}


def is_markups(content: Any) -> bool:
    """Whether the content of a JSON file is that of Slicer's markups."""
    return isinstance(content, dict) and "markups" in content


def parse_markups(content: Any, source: str, names: tuple[str, ...]) -> list[Located]:
    """The prompts of a `.mrk.json`; `source` is its name, `names` what that states of a label.

    Raises `PromptFileError` in one line with a sample for what cannot be read, and for markups that are no prompts.
    """
    markups = content["markups"]
    if not isinstance(markups, list) or not all(isinstance(m, dict) for m in markups):
        raise PromptFileError(
            f"{source}: markups must be a list of objects, found {shorten(markups)}; expected for example {SAMPLE}"
        )
    found: list[Located] = []
    for i, markup in enumerate(markups):
        found += _Markup(f"{source}: markups[{i}]", markup, names).prompts()
    if not found:
        raise PromptFileError(f"{source}: holds no prompt; expected for example {SAMPLE}")
    return found


class _Markup:
    """One markup of a file."""

    def __init__(self, where: str, content: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self.where, self.content = where, content
        self.space = self._space()
        self.scale = self._scale()
        self.names = tuple(n for n in (_text(content.get("name")), _value_of(content)) if n) + names

    def prompts(self) -> Iterator[Located]:
        kind = self.content.get("type")
        points = list(self._points())
        if kind == "Fiducial":
            for where, position, names in points:
                yield Located(
                    where, LabelText((*names, *self.names)), PointAt(position), self.space
                )
        elif kind in ("Line", "Curve", "OpenCurve", "ClosedCurve"):
            if not points:
                return
            path = [position for _, position, _ in points]
            path += path[:1] if kind == "ClosedCurve" and len(path) > 2 else []
            yield Located(self.where, self._label(points), PathAt(tuple(path)), self.space)
        elif kind == "ROI":
            yield Located(self.where, self._label(points), self._roi(points), self.space)
        else:
            raise self._wrong(
                f"type: expected Fiducial, ROI, Line, Curve or ClosedCurve, found {shorten(kind)}"
            )

    def _label(self, points: list[tuple[str, Coordinate, tuple[str, ...]]]) -> LabelText:
        """Of a markup that is one prompt: what its first control point states, then its own name."""
        said = points[0][2] if points else ()
        return LabelText((*said, *self.names))

    def _points(self) -> Iterator[tuple[str, Coordinate, tuple[str, ...]]]:
        """Place in the file, position and texts of each control point that was placed."""
        points = self.content.get("controlPoints", [])
        if not isinstance(points, list):
            raise self._wrong(f"controlPoints: expected a list, found {shorten(points)}")
        for i, point in enumerate(points):
            where = f"controlPoints[{i}]"
            if not isinstance(point, dict):
                raise self._wrong(f"{where}: expected an object, found {shorten(point)}")
            if point.get("positionStatus") in _ABSENT:
                continue
            position = self._position(point.get("position"), f"{where}.position")
            description, label = _text(point.get("description")), self._own_name(point)
            texts = tuple(text for text in (description, label) if text)
            yield f"{self.where}.{where}", position, texts

    def _own_name(self, point: Mapping[str, Any]) -> str:
        """A control point's label without what Slicer made up: `labelFormat` has %N-%d, a name and a number."""
        label = _text(point.get("label"))
        form = re.escape(_text(self.content.get("labelFormat")) or "%N-%d")
        pattern = form.replace("%N", "(?P<name>.*)", 1).replace("%d", r"\d+").replace("%N", ".*")
        match = re.fullmatch(pattern, label, re.DOTALL)
        return str(match.groupdict().get("name", "")) if match else label

    def _roi(self, points: list[tuple[str, Coordinate, tuple[str, ...]]]) -> BodyAt:
        if self.content.get("insideOut") is True:
            raise self._wrong("insideOut: a box of what lies outside is not a prompt")
        centre = self.content.get("center")
        if centre is None and points:
            at = np.array(points[0][1])
        else:
            at = np.array(self._position(centre, "center"))
        size = np.array(self._position(self.content.get("size"), "size"))
        axes = self.content.get("orientation") or [1, 0, 0, 0, 1, 0, 0, 0, 1]
        if not _are_numbers(axes, 9) or abs(np.linalg.det(np.reshape(axes, (3, 3)))) < 0.5:
            raise self._wrong(f"orientation: expected a 3 x 3 rotation, found {shorten(axes)}")
        half = np.reshape(axes, (3, 3)) * np.abs(size) / 2  # its columns are the axes of the box
        corners = [at + half @ signs for signs in itertools.product((-1, 1), repeat=3)]
        return BodyAt(tuple((float(x), float(y), float(z)) for x, y, z in corners))

    def _position(self, value: Any, key: str) -> Coordinate:
        if not _are_numbers(value, 3):
            raise self._wrong(f"{key}: expected three finite numbers, found {shorten(value)}")
        x, y, z = (float(v) * self.scale for v in value)
        return x, y, z

    def _space(self) -> Space:
        """Slicer writes LPS, and means it where nothing is stated (its schema's default)."""
        system = self.content.get("coordinateSystem", "LPS")
        space = _FCSV_SPACES.get(str(system))
        if space is None:
            raise self._wrong(f"coordinateSystem: expected LPS or RAS, found {shorten(system)}")
        return space

    def _scale(self) -> float:
        unit = self.content.get("coordinateUnits", "mm")
        unit = unit[0] if isinstance(unit, list) and unit else unit
        if unit not in ("mm", "um"):
            raise self._wrong(f"coordinateUnits: expected mm, found {shorten(unit)}")
        return _UNIT_TO_MM[unit]

    def _wrong(self, message: str) -> PromptFileError:
        return PromptFileError(f"{self.where}.{message}; expected for example {SAMPLE}")


def parse_fcsv(text: str, source: str, names: tuple[str, ...]) -> list[Located]:
    """The points of an `.fcsv`, whose comments state what its columns and coordinates are. Raises `PromptFileError`."""
    said = dict(
        line.lstrip("# ").split("=", 1) for line in text.splitlines() if re.match("#.*=", line)
    )
    known = {key.strip(): value.strip() for key, value in said.items()}
    space = _FCSV_SPACES.get(known.get("CoordinateSystem", ""))
    columns = known.get("columns", "").split(",")
    if space is None or not {"x", "y", "z"} <= set(columns):
        raise PromptFileError(
            f"{source}: expected the comments '# CoordinateSystem = LPS' and '# columns = id,x,y,z,...'; save the"
            " markups as .mrk.json"
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for i, row in enumerate(csv.reader(lines)):
        cells = dict(zip(columns, row, strict=False))
        try:
            x, y, z = (float(cells[axis]) for axis in "xyz")
        except (KeyError, ValueError):
            x = y = z = math.nan
        if not all(abs(v) <= MAX_NUMBER for v in (x, y, z)):
            raise PromptFileError(
                f"{source}: point {i}: expected three numbers, found {shorten(row)}"
            )
        texts = (cells.get("desc", ""), cells.get("label", ""), *names)
        label = LabelText(tuple(text for text in texts if text))
        found.append(Located(f"{source}: point {i}", label, PointAt((x, y, z)), space))
    if not found:
        raise PromptFileError(f"{source}: holds no point; save the markups as .mrk.json")
    return found


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _value_of(content: Mapping[str, Any]) -> str:
    """MONAI's detection writes `"label": {"value": 500}` beside a markup."""
    label = content.get("label")
    value = label.get("value") if isinstance(label, dict) else label
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def _are_numbers(value: Any, length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(v) in (int, float) and -MAX_NUMBER <= v <= MAX_NUMBER for v in value)
    )
