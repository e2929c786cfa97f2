"""Which structure a phrase means: "left ventricular cavity", "Ventricle, left", "CT scan of the spleen", "splene".

Case, order, plurals, adjectives ("hepatic") and words about the examination ("in abdominal CT") make no difference, and
a slip of a letter or two in a long word is forgiven and reported. What is left over has to be understood completely:
"liver tumour" is another thing than the liver, "kidney" another than the left one. Where two structures fit, both are
named and none is taken. `anatomy.csv` has the aliases of the structures of CARE and TotalSegmentator, with codes of
SNOMED CT as DICOM lists them for free use (SCT; the side as a code of its own).
"""

from __future__ import annotations

import csv
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data import word_forms as forms

Words = frozenset[str]
_SIDES = frozenset({"left", "right"})
_log = logging.getLogger(__name__)


class NotUnderstood(DatasetError):
    """A phrase whose words mean no anatomy that is known, as opposed to two structures, or to other anatomy.

    `holds_name` is True where a structure's whole name is among them, as in "liver tumour".
    """

    holds_name = False


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A row of `anatomy.csv`: a name, its SNOMED CT code, the code of its side, and what else it is called."""

    name: str
    code: str
    side: str
    aliases: tuple[str, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class Found:
    """The structure that a phrase means; `note` states what was forgiven, empty for a name or an alias."""

    name: str
    note: str = ""


@cache
def anatomy() -> tuple[Anatomy, ...]:
    """The shipped structures, in the order of the file."""
    text = resources.files("nnunet_prompt.data").joinpath("anatomy.csv").read_text("utf-8")
    return tuple(
        Anatomy(
            row["structure"],
            row["sct"],
            row["side_sct"],
            tuple(filter(None, row["aliases"].split("|"))),
        )
        for row in csv.DictReader(text.splitlines())
    )


def find_words(phrase: str, structures: Mapping[str, Iterable[str]]) -> Found:
    """The structure that a phrase means; `structures` are names with aliases of their own.

    Raises `DatasetError` where the phrase means none of them, or could mean two: it then names both. Its child
    `NotUnderstood` is for phrases that are no known anatomy at all.
    """
    known = _Known.of(structures)
    exact = known.named(_code(phrase))
    if exact:
        return Found(_only(phrase, exact))
    asked = forms.words(phrase, known.vocabulary)
    if not asked.meant:
        raise NotUnderstood(f"no structure {phrase!r}")
    results = [known.sets.get(words, frozenset()) for words in asked.readings]
    named = frozenset[str]().union(*results)
    if len(named) != 1 or not all(results):
        raise _refusal(phrase, asked, named, known)
    (name,) = named
    return Found(name, "; ".join(asked.notes))


def plainly(phrase: str, structures: Mapping[str, Iterable[str]]) -> frozenset[str] | None:
    """The structures that a name or an alias means, with nothing forgiven and no words left out but fillers.

    None where it is no known anatomy, nothing where it is anatomy that `structures` do not have.
    """
    known = _Known.of(structures)
    return known.named(_code(phrase)) or known.sets.get(forms.plain(phrase))


def _code(phrase: str) -> str:
    """The phrase as names are compared without their forms."""
    return " ".join(unicodedata.normalize("NFC", phrase).casefold().replace("_", " ").split())


@dataclass(frozen=True, slots=True)
class _Known:
    """Each set of words with the structures that it means; none for anatomy that the model does not know."""

    sets: Mapping[Words, frozenset[str]]
    codes: Mapping[str, frozenset[str]]
    vocabulary: frozenset[str]
    names: tuple[str, ...]

    @staticmethod
    def of(structures: Mapping[str, Iterable[str]]) -> _Known:
        return _known(tuple((name, tuple(aliases)) for name, aliases in structures.items()))

    def named(self, code: str) -> frozenset[str]:
        return self.codes.get(code, frozenset())


@cache
def _known(structures: tuple[tuple[str, tuple[str, ...]], ...]) -> _Known:
    sets: dict[Words, set[str]] = {}
    codes: dict[str, set[str]] = {}
    bound = dict(_bound(structures))
    for name, phrases in bound.items():
        for phrase in phrases:
            sets.setdefault(forms.plain(phrase), set()).add(name)
            codes.setdefault(_code(phrase), set()).add(name)
    for row in anatomy():
        for phrase in row.phrases:
            sets.setdefault(forms.plain(phrase), set())
    sets.pop(frozenset(), None)
    for code, name in _snomed(bound):
        codes.setdefault(code, set()).add(name)
    vocabulary = frozenset(word for words in sets for word in words)
    return _Known(
        {words: frozenset(names) for words, names in sets.items()},
        {code: frozenset(names) for code, names in codes.items()},
        vocabulary,
        tuple(name for name, _ in structures),
    )


def _bound(
    structures: Iterable[tuple[str, tuple[str, ...]]],
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each structure with its own phrases and those of the anatomy that it is called like."""
    rows = anatomy()
    for name, aliases in structures:
        own = (name, *aliases)
        codes = {_code(phrase) for phrase in own}
        same = [row for row in rows if codes & {_code(phrase) for phrase in row.phrases}]
        if not same:  # by its words, such as "Left kidney"
            meant = {forms.plain(phrase) for phrase in own}
            same = [row for row in rows if meant & {forms.plain(phrase) for phrase in row.phrases}]
        yield name, (*own, *(phrase for row in same for phrase in row.phrases))


def _snomed(bound: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """The codes of structures with their names: `sct:10200004`, with a side `sct:64033007+7771000`."""
    for name, phrases in bound.items():
        for row in anatomy():
            if row.name in phrases and row.code:
                yield f"sct:{row.code}" + (f"+{row.side}" if row.side else ""), name


def _only(phrase: str, names: frozenset[str]) -> str:
    if len(names) > 1:
        first, second, *_ = sorted(names)
        raise DatasetError(
            f"structure {phrase!r}: could be {first!r} or {second!r}: name one of them"
        )
    return next(iter(names))


def _refusal(phrase: str, asked: forms.Asked, named: frozenset[str], known: _Known) -> DatasetError:
    if len(named) > 1:
        first, second, *_ = sorted(named)
        return DatasetError(
            f"structure {phrase!r}: could be {first!r} or {second!r}: name one of them"
        )
    near = sorted(_near(asked.meant, known))
    unknown = sorted(asked.meant - known.vocabulary)
    why = f" (not understood: {', '.join(unknown)})" if unknown else ""
    is_anatomy = any(words in known.sets for words in (asked.meant, *asked.readings))
    hint = f", did you mean {near[0]!r}?" if near else ""
    if len(near) > 1:
        hint = f": could be {' or '.join(map(repr, near[:2]))}: name one of them"
    line = f"no structure {phrase!r}{why}{hint}"
    if is_anatomy or (near and not unknown):
        return DatasetError(line)
    error = NotUnderstood(line)
    error.holds_name = any(names and words < asked.meant for words, names in known.sets.items())
    return error


@cache
def report(phrase: str, found: Found) -> None:
    """Logs what a phrase was taken for, once for each; every case asks again."""
    if unicodedata.normalize("NFC", phrase) != unicodedata.normalize("NFC", found.name):
        why = f" ({found.note})" if found.note else ""
        _log.info("structure %r taken as %s%s", phrase, found.name, why)


def _near(words: Words, known: _Known) -> set[str]:
    """What may have been meant: structures with more words than the phrase, or fewer; of known anatomy, its sides."""
    other = words in known.sets
    return {
        name
        for meant, names in known.sets.items()
        if (meant > words and meant - words <= _SIDES)
        or (not other and meant & words and (meant > words or meant < words))
        for name in names
    }
