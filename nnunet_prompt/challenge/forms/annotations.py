"""Annotations as Grand Challenge writes them: points, boxes and lines in JSON, several of a kind in one file.

    {"type": "Multiple points", "version": {"major": 1, "minor": 0},
     "points": [{"name": "tumor", "point": [x, y, z]}, ...]}

    Point, Multiple points                      a click
    2D bounding box, Multiple 2D bounding boxes four corners, a box of the slice they lie in
    Line, Multiple lines                        a scribble per list of path points

On the platform, coordinates are mm of the world (LPS); some challenges count voxels instead, which the sockets state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nnunet_prompt.challenge.forms.sockets import InputSocket
from nnunet_prompt.common.arguments import items, shown, three_numbers
from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.prompt_files.label_text import LabelText
from nnunet_prompt.prompt_files.located import BodyAt, Located, PathAt, PointAt
from nnunet_prompt.prompts.checks import Coordinate

# type -> the key of its list, None where the file is the only member itself
KINDS: Mapping[str, str | None] = {
    "Point": None,
    "Multiple points": "points",
    "2D bounding box": None,
    "Multiple 2D bounding boxes": "boxes",
    "Line": None,
    "Multiple lines": "lines",
}
SAMPLE = '{"type": "Multiple points", "points": [{"name": "tumor", "point": [88, 97, 5]}]}'


def parse_annotation(content: Any, source: str, socket: InputSocket) -> list[Located]:
    """The prompts of an annotation; none of an empty list. Raises `PromptFileError` in one line."""
    kind, members = _members(content, source)
    found: list[Located] = []
    for i, member in enumerate(members):
        where = f"{source}: {KINDS[kind] or kind}[{i}]"
        if not isinstance(member, Mapping):
            raise PromptFileError(f"{where}: expected an object, found {shown(member)}")
        label, positive = _label(member, content, where, socket)
        try:
            for what in _whats(kind, member):
                if socket.scribbles and isinstance(what, PointAt):
                    what = PathAt((what.position,))
                found.append(Located(where, label, what, socket.space, positive))
        except NNUNetPromptError as error:
            raise PromptFileError(f"{where}: {error}; expected for example {SAMPLE}") from None
    return found


def _members(content: Any, source: str) -> tuple[str, list[Any]]:
    """The kind of an annotation and what it lists."""
    kind = content.get("type") if isinstance(content, Mapping) else None
    if kind is None and isinstance(content, Mapping) and isinstance(content.get("points"), list):
        kind = "Multiple points"  # as some challenges write them
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        found = shown(kind if isinstance(content, Mapping) else content)
        raise PromptFileError(
            f"{source}: type: expected one of {known}, found {found}; expected for example {SAMPLE}"
        )
    key = KINDS[kind]
    members = [content] if key is None else content.get(key)
    if not isinstance(members, list):
        raise PromptFileError(
            f"{source}: {key}: expected a list, found {shown(members)}; expected for example {SAMPLE}"
        )
    return kind, members


def _label(
    member: Mapping[str, Any], content: Any, where: str, socket: InputSocket
) -> tuple[LabelText, bool | None]:
    """The label that the name of a member, or else of the whole, means, and its sign where that is configured."""
    names = [n for n in (member.get("name"), content.get("name")) if isinstance(n, str) and n]
    for name in names:
        if name in socket.names:
            known = socket.names[name]
            return LabelText((str(known.label),)), known.positive
    if not names:
        raise PromptFileError(
            f"{where}: name: expected the name of a label, such as {next(iter(socket.names), '500')!r}, found none"
        )
    return LabelText(tuple(names)), None


def _whats(kind: str, member: Mapping[str, Any]) -> Iterator[PointAt | BodyAt | PathAt]:
    if "oint" in kind:
        yield PointAt(three_numbers("point", member.get("point")))
    elif "box" in kind:
        yield BodyAt(_positions("corners", member.get("corners")))
    else:
        paths = items(member.get("path_point_lists"))
        if paths is None:
            found = shown(member.get("path_point_lists"))
            raise PromptFileError(f"path_point_lists: expected lists of positions, found {found}")
        for path in paths:
            yield PathAt(_positions("path_point_lists", path))


def _positions(name: str, value: Any) -> tuple[Coordinate, ...]:
    parts = items(value)
    if not parts:
        raise PromptFileError(f"{name}: expected a list of positions, found {shown(value)}")
    return tuple(three_numbers(name, part) for part in parts)
