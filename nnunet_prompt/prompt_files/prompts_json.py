"""Reads and writes the prompts.json of TFM4MedIA: one box and at most five points per slice and label.

    {"Case1": {"0": null, "1": {"500": [[x, y, x2, y2], [[x, y], ...]], "600": [...]}}}

Slices lie along axis 2 of the PLS frame; null is a slice without foreground. A box or the points of a label may be
missing (null or an empty list), and so may null slices; words may stand beside them (`prompts_json_text`). What x and y
mean is inferred by `prompt_files.prompts_json_convention`, beside an image; here only the file is looked at.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.prompt_files.prompts_json_convention import (
    DEFAULT,
    MAX_POINTS,
    Corners,
    JsonConvention,
    Pair,
    Problems,
    RawCase,
    RawPrompt,
    raw_slices,
)
from nnunet_prompt.prompt_files.prompts_json_text import take_texts
from nnunet_prompt.prompts.types import CasePrompts

MAX_BYTES = 2**26  # 40 whole hearts with every label in every slice take a third of it, indented
SAMPLE = (
    '{"Case1": {"3": {"500": [[70, 80, 110, 120], [[88, 97]]]}}}'  # of a right file, for messages
)
MAX_NUMBER = 1e6  # far beyond any image

_LONGEST_INTEGER = 18  # digits; what is longer is no number of ours
_WHOLE = re.compile("-?[0-9]{1,9}")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxdict = _SHORT.maxlist = 6
_SHORT.maxlevel = 3


@dataclass(frozen=True, slots=True)
class PromptsJson:
    """The cases of one file by their keys, in the order of the file; `source` is the file's name."""

    source: str
    cases: Mapping[str, RawCase]


def read_prompts_json(path: Path) -> PromptsJson:
    """Reads a file. What is wrong with one case stands in its `problems` and affects no other case.

    Raises `PromptFileError` if the file is missing, not UTF-8, not JSON, too large, nested too deeply or no object.
    """
    return parse_prompts_json(load_json(path), path.name)


def parse_prompts_json(content: Any, source: str) -> PromptsJson:
    """`read_prompts_json` for what `load_json` has read; `source` begins the messages."""
    if not isinstance(content, dict):
        raise PromptFileError(
            f"{source}: expected an object with one key per case, found {shorten(content)}"
        )
    cases = {}
    for name, value in content.items():
        problems = Problems(f"{source}: case {shorten(name)}", [])
        _report_twice(content, name, problems)
        rest, texts = take_texts(value, problems)
        slices = {k: _read_slice(entry, at) for k, entry, at in _entries(rest, problems, "slice")}
        cases[name] = RawCase(problems.where, slices, tuple(problems.messages), texts)
    return PromptsJson(source, cases)


def write_prompts_json(
    path: Path, cases: Mapping[str, CasePrompts], *, convention: JsonConvention = DEFAULT
) -> None:
    """Writes the prompts of cases (PLS frame): every slice that `CasePrompts.slices` names, empty ones as null.

    The file appears when it is complete. Raises `PromptFileError` for prompts it cannot state (`raw_slices`) and if
    it cannot be written.
    """
    lines = []
    for name, prompts in cases.items():
        try:
            slices = raw_slices(prompts, convention)
        except NNUNetPromptError as error:
            raise PromptFileError(f"{path.name}: case {name!r}: {error}") from error
        body = ",\n".join(f'  "{k}": {json.dumps(_to_json(sets))}' for k, sets in slices.items())
        lines.append(f" {json.dumps(name)}: {{\n{body}\n }}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    except OSError as error:
        raise PromptFileError(f"{path}: cannot be written: {error.strerror}") from error


class JsonObject(dict[str, Any]):
    """A JSON object whose text had keys more than once, `twice`; the last value of a key is kept."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = frozenset(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)


def load_json(path: Path) -> Any:
    """The content of a JSON file, objects with a key more than once as `JsonObject`.

    NaN, Infinity and endless integers become numbers, for the caller to find. Raises `PromptFileError`.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_to_object, parse_int=_to_integer)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise PromptFileError(f"{path}: broken JSON in {place}: {error.msg}") from error
    except RecursionError as error:
        raise PromptFileError(f"{path}: nested too deeply") from error
    except MemoryError as error:
        raise PromptFileError(f"{path}: takes more memory than there is") from error


def read_text(path: Path) -> str:
    """The text of a prompts file, which is UTF-8 and of a sane size. Raises `PromptFileError`."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise PromptFileError(f"{path}: cannot be read: it is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise PromptFileError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so no prompts file")
        return path.read_bytes().decode("utf-8-sig")
    except PromptFileError:
        raise
    except OSError as error:
        raise PromptFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{path}: not UTF-8 text, wrong at byte {error.start}") from error
    except MemoryError as error:
        raise PromptFileError(f"{path}: takes more memory than there is") from error


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else JsonObject(pairs)


def _to_integer(text: str) -> float:
    return int(text) if len(text) <= _LONGEST_INTEGER else float(text)


def shorten(value: Any) -> str:
    """A value as it may stand in a message: one line, never long."""
    return _SHORT.repr(dict(value) if isinstance(value, dict) else value)


def _entries(
    value: Any, problems: Problems, kind: Literal["slice", "label"]
) -> Iterator[tuple[int, Any, Problems]]:
    """The entries of an object whose keys are whole numbers (labels: above 0), each with its place for messages."""
    if not isinstance(value, dict):
        problems(f"expected an object with one key per {kind}, found {shorten(value)}")
        return
    seen: set[int] = set()
    for key, entry in value.items():
        below = problems.below(kind, shorten(key))
        number = int(key) if _WHOLE.fullmatch(key) else None
        if number is None or (kind == "label" and number < 1):
            wanted = 'above 0, such as "500"' if kind == "label" else 'such as "12"'
            below(f"a {kind} id must be a whole number {wanted}")
        elif number in seen:
            below("this number is there more than once")
        else:
            _report_twice(value, key, below)
            seen.add(number)
            yield number, entry, below


def _report_twice(parent: dict[str, Any], key: str, problems: Problems) -> None:
    if key in getattr(parent, "twice", ()):
        problems("this key is there more than once")


def _read_slice(value: Any, problems: Problems) -> dict[int, RawPrompt]:
    """The prompts of a slice by label; labels that are null or have neither box nor points are left out."""
    labels: dict[int, RawPrompt] = {}
    if value is None:
        return labels
    for label, entry, below in _entries(value, problems, "label"):
        if entry is None:
            continue
        if not isinstance(entry, list) or len(entry) != 2:
            below(f"expected [box, points], found {shorten(entry)}")
            continue
        raw = RawPrompt(_read_box(entry[0], below), _read_points(entry[1], below))
        if raw.box or raw.points:
            labels[label] = raw
    return labels


def _read_box(value: Any, problems: Problems) -> Corners | None:
    if value is None or value == []:
        return None
    if not _are_numbers(value, 4):
        problems(f"box: expected four finite numbers [x, y, x2, y2], found {shorten(value)}")
        return None
    x, y, x2, y2 = value
    if x2 < x or y2 < y:
        problems(f"box {value}: its corners are swapped, x2 must not be below x nor y2 below y")
    return min(x, x2), min(y, y2), max(x, x2), max(y, y2)


def _read_points(value: Any, problems: Problems) -> tuple[Pair, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems(f"points: expected a list [[x, y], ...], found {shorten(value)}")
        return ()
    if len(value) > MAX_POINTS:
        problems(f"points: at most {MAX_POINTS} are allowed, found {len(value)}")
    points = []
    for i, point in enumerate(value[:MAX_POINTS]):
        if _are_numbers(point, 2):
            points.append((point[0], point[1]))
        else:
            problems(f"points[{i}]: expected two finite numbers [x, y], found {shorten(point)}")
    return tuple(points)


def _are_numbers(value: Any, length: int) -> bool:
    """Whether it is a list of so many finite numbers of a sane size; true and false are no numbers."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(v) in (int, float) and -MAX_NUMBER <= v <= MAX_NUMBER for v in value)
    )


def _to_json(labels: Mapping[int, RawPrompt]) -> dict[str, list[Any]] | None:
    if not labels:
        return None
    return {
        str(label): [
            None if raw.box is None else [_number(v) for v in raw.box],
            [[_number(v) for v in point] for point in raw.points],
        ]
        for label, raw in labels.items()
    }


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value
