"""Which label a text means, and whether it marks something that is not part of it.

    500            the label 500                      LV             the structure LV of the model
    LV-neg, LV -   not LV (negative)                  LV+, LV pos    LV (positive)
    LV-3, 500_2    the third of LV, the second of 500

Texts of a user's file come with several candidates, from the most to the least specific one: a point's description,
its label, the name of its list, the name of the file. The first that means something counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nnunet_prompt.common.errors import DatasetError, PromptError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.io.names import composed
from nnunet_prompt.prompt_files.prompts_json import shorten

LARGEST_DIGITS = 9
_NUMBER = re.compile(rf"[1-9][0-9]{{0,{LARGEST_DIGITS - 1}}}")
_COUNTER = re.compile(r"(?P<name>.*\S)[ _-]+[0-9]+", re.DOTALL)
_SIGN = re.compile(
    r"(?P<name>.*?)(?:(?:^|[ _.(-]+)(?:(?P<neg>neg|negative|minus)|(?P<pos>pos|positive|plus))\)?"
    r"|[ _]*(?:(?P<dash>[-\u2212])|(?P<cross>\+)))",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LabelText:
    """The label of a prompt in its file: candidates, the most specific first; if `exact`, a key of our form."""

    candidates: tuple[str, ...]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """A label, what the text states of the sign (None for nothing), and the number of the candidate that meant it."""

    label: int
    positive: bool | None = None
    candidate: int = 0


def is_label_key(key: str) -> bool:
    """Whether a key of our own form can be a label: a whole number from 1 up, or a name, which has a letter."""
    return bool(_NUMBER.fullmatch(key)) or any(c.isalpha() for c in key)


def understand(text: LabelText, table: StructureTable | None) -> Meaning:
    """The label that a text means; names are those of `table`, and stand for its official values.

    Raises `PromptError` where no candidate is a label.
    """
    positive: bool | None = None
    for i, candidate in enumerate(text.candidates):
        for name, sign in _forms(candidate, exact=text.exact):
            label = _label(name, table, exact=text.exact)
            if label is not None:
                return Meaning(label, sign if positive is None else positive, i)
            if not name and positive is None:  # a sign alone: the label stands elsewhere
                positive = sign
    raise PromptError(_unknown(text, table))


def _forms(candidate: str, *, exact: bool) -> Iterator[tuple[str, bool | None]]:
    """The names that a text may hold, each with the sign beside it."""
    text = composed(candidate).strip()
    yield text, None
    if exact:
        return
    counter = _COUNTER.fullmatch(text)
    for plain in (text, counter["name"]) if counter else (text,):
        if plain != text:
            yield plain, None
        signed = _SIGN.fullmatch(plain)
        if signed:
            name = signed["name"].strip(" _.-(")
            sign = not (signed["neg"] or signed["dash"])
            yield name, sign
            again = _COUNTER.fullmatch(name)
            if again:
                yield again["name"], sign


def _label(name: str, table: StructureTable | None, *, exact: bool) -> int | None:
    """The value of a number or name; a key of our own form may also be a phrase (`data.words`)."""
    if _NUMBER.fullmatch(name):
        return int(name)
    if table is None:
        return None
    if not exact and not any(composed(s.name) == name for s in table.structures):
        return None
    try:
        return table.find(name).official
    except DatasetError as error:
        if "could be" in str(error):
            raise PromptError(str(error)) from None
        return None


def _unknown(text: LabelText, table: StructureTable | None) -> str:
    tried = ", ".join(shorten(c) for c in text.candidates if c) or "nothing"
    if table is None:
        known = 'a number such as "500" (names need a model)'
    else:
        names = ", ".join(f"{s.name} ({s.official})" for s in table.structures)
        known = f"a number or a structure of the model: {names}"
    way_out = "" if text.exact else "; state it in the file or in its name, such as case_001_500"
    return f"no label is named; expected {known}; found {tried}{way_out}"
