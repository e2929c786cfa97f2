"""Words in a prompts.json, wherever they stand, and the slices in which they count.

    {"Case1": "left ventricle"}                                            a case, by its words alone
    {"Case1": {"text": ["LV", "left atrium"], "0": null}}                  beside its slices
    {"Case1": {"text": {"500": "left ventricle"}}}                         for a label of the case
    {"Case1": {"3": "left ventricle"}}                                     in a slice; also {"3": {"text": ...}}
    {"Case1": {"3": {"500": "left ventricle"}}}                            for a label in a slice
    {"Case1": {"3": {"500": {"text": "LV", "box": [...], "points": [...]}}}}     beside its prompts
    {"Case1": {"3": {"500": [[x, y, x2, y2], [[x, y]], "LV"]}}}                  the same in short

`take_texts` takes them out, so that the rest has the form that `prompts_json` reads. Words of a case count in all of
its slices but those that are null, words of a slice in that slice. A number that stands where slices do, but lies
beyond those of the image, is a label if it is one of the model: {"Case1": {"500": {"text": "left ventricle"}}}.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from nnunet_prompt.common.arguments import shown
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.prompt_files.prompts_json_convention import JsonConvention, Problems, RawCase
from nnunet_prompt.prompt_files.text import LONGEST, TEXT_SAMPLE, Text, as_phrases, understand_texts
from nnunet_prompt.prompts.types import CasePrompts

TEXT = "text"
_OF_LABEL = frozenset({TEXT, "box", "points"})
_WHOLE = re.compile("-?[0-9]{1,9}")
_GONE = object()  # an entry that held words only


def take_texts(value: Any, problems: Problems) -> tuple[Any, tuple[Text, ...]]:
    """The value of a case without its words, and the words; a case without any is returned as it is."""
    taker = _Taker()
    rest = taker.case(value, problems)
    return rest, tuple(taker.texts)


class _Taker:
    """Takes words out of a case. Nothing of what is given is changed."""

    def __init__(self) -> None:
        self.texts: list[Text] = []

    def case(self, value: Any, at: Problems) -> Any:
        if self._words_alone(value, at, None, None):
            return {}
        if not isinstance(value, dict):
            return value

        def entry(key: str, one: Any) -> Any:
            number = _number(key)
            return one if number is None else self._slice(one, at.below("slice", repr(key)), number)

        return self._object(value, at, entry, None)

    def _slice(self, value: Any, at: Problems, number: int) -> Any:
        if self._words_alone(value, at, None, number):
            return _GONE
        if not isinstance(value, dict):
            return value

        def entry(key: str, one: Any) -> Any:
            label = _number(key)
            if label is None or label < 1:
                return one
            return self._label(one, at.below("label", repr(key)), label, number)

        rest = self._object(value, at, entry, number)
        return _GONE if value and not rest else rest

    def _object(
        self,
        value: dict[str, Any],
        at: Problems,
        entry: Callable[[str, Any], Any],
        slice_: int | None,
    ) -> dict[str, Any]:
        """The object without its text, its other entries as `entry` leaves them."""
        rest = {}
        for key, one in value.items():
            if key == TEXT:
                if TEXT in getattr(value, "twice", ()):
                    at("text: this key is there more than once")
                self._text(one, at, slice_)
                continue
            left = entry(key, one)
            if left is not _GONE:
                rest[key] = left
        same = copy.copy(value)  # keeps which keys were there twice
        same.clear()
        same.update(rest)
        return same

    def _label(self, value: Any, at: Problems, label: int, number: int) -> Any:
        if self._words_alone(value, at, label, number):
            return _GONE
        if isinstance(value, list) and len(value) == 3:
            self._add(value[2], at, label, number)
            return value[:2]
        if isinstance(value, dict) and value and set(value) <= _OF_LABEL:
            self._add(value.get(TEXT), at, label, number)
            rest = [value.get("box"), value.get("points")]
            return rest if any(one is not None for one in rest) else _GONE
        return value

    def _text(self, value: Any, at: Problems, number: int | None) -> None:
        """The words of a case or slice: of structures, or of labels by their values."""
        if not isinstance(value, dict):
            self._add(value, at, None, number)
            return
        for key, one in value.items():
            label = _number(key)
            if label is None or label < 1:
                at(f'text: a label id must be a whole number above 0, such as "500", found {key!r}')
                continue
            inner = one.get(TEXT) if isinstance(one, dict) and set(one) == {TEXT} else one
            self._add(inner, at.below("label", repr(key)), label, number)

    def _words_alone(self, value: Any, at: Problems, label: int | None, number: int | None) -> bool:
        """Takes an entry that is words and nothing else."""
        if not isinstance(value, str) and as_phrases(value) is None:
            return False
        self._add(value, at, label, number)
        return True

    def _add(self, value: Any, at: Problems, label: int | None, number: int | None) -> None:
        if value is None:
            return
        phrases = as_phrases(value)
        if phrases is None:
            at(
                f"text: expected words of at most {LONGEST} letters or a list of them, such as {TEXT_SAMPLE}, found"
                f" {shown(value)}"
            )
            return
        self.texts += [Text(at.where, phrase, label, number) for phrase in phrases]


def with_texts(
    prompts: CasePrompts,
    raw: RawCase,
    depth: int,
    convention: JsonConvention,
    table: StructureTable | None,
) -> tuple[CasePrompts, tuple[str, ...]]:
    """The prompts of a case, in an image of `depth` slices, with what its words name; and what is wrong with these."""
    if not raw.texts:
        return prompts, ()
    texts, lines = [], []
    for text in raw.texts:
        beyond = text.slice is not None and not 0 <= text.slice - convention.base < depth
        if not beyond:
            texts.append(text)
        elif text.label is None and _is_label(text.slice, table):
            texts.append(replace(text, label=text.slice, slice=None))
        else:
            last = convention.base + depth - 1
            lines.append(f"{text.where}: the image has the slices {convention.base} to {last}")
    meant = understand_texts(texts, prompts.labels, table)
    slices = {k: set(labels) for k, labels in (prompts.slices or {}).items()}
    for label, sources in meant.texts.items():
        for text in sources:
            for k in _slices_of(text, raw, depth, convention):
                slices.setdefault(k, set()).add(label)
    found = replace(
        prompts, named=meant.named, slices={k: frozenset(v) for k, v in sorted(slices.items())}
    )
    return found, (*lines, *meant.lines)


def text_slices(
    raw: RawCase, depth: int, convention: JsonConvention
) -> tuple[dict[int, frozenset[int]], frozenset[int]]:
    """Without a model: the labels that words allow in each slice, and the slices in which they may mean any label."""
    allowed: dict[int, set[int]] = {}
    free: set[int] = set()
    for text in raw.texts:
        placed = text
        if text.slice is not None and not 0 <= text.slice - convention.base < depth:
            placed = replace(text, label=text.label or text.slice, slice=None)
        for k in _slices_of(placed, raw, depth, convention):
            if placed.label is None:
                free.add(k)
            else:
                allowed.setdefault(k, set()).add(placed.label)
    return {k: frozenset(labels) for k, labels in allowed.items()}, frozenset(free)


def _slices_of(text: Text, raw: RawCase, depth: int, convention: JsonConvention) -> Iterator[int]:
    """The slices, counted from 0, in which a text counts."""
    if text.slice is not None:
        yield text.slice - convention.base
        return
    null = {number - convention.base for number, labels in raw.slices.items() if not labels}
    yield from (k for k in range(depth) if k not in null)


def _is_label(number: int | None, table: StructureTable | None) -> bool:
    return table is not None and any(s.official == number for s in table.structures)


def _number(key: str) -> int | None:
    return int(key) if _WHOLE.fullmatch(key) else None
