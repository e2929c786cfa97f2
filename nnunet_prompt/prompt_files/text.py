"""Words as prompts: the text of a label means a structure of the model, whose head then answers for that label.

Each phrase is understood as `--structures` is (`data.words`), and refused in one line where it means nothing or could
mean two. Points and boxes go before words: beside them a text is only compared with what the label stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError
from nnunet_prompt.data.structures import Structure, StructureTable

LONGEST = 200  # letters of a phrase
MOST = 500  # different phrases of a case
TEXT_SAMPLE = '"text": "left ventricular cavity"'  # of a right entry, for messages


@dataclass(frozen=True, slots=True)
class Text:
    """One phrase of a prompts file. `where` is its place in the file, for messages.

    `label` is the label that it belongs to, None for the official value of the structure that it means. `slice` is the
    number of its slice in a prompts.json, None for the whole case.
    """

    where: str
    phrase: str
    label: int | None = None
    slice: int | None = None


@dataclass(frozen=True, slots=True)
class Meant:
    """The outcome of the texts of a case.

    named    the structure that answers for each label, by its name in the model
    texts    the texts that name it, by label
    lines    what was refused or contradicts, a line each
    """

    named: Mapping[int, str] = field(default_factory=dict)
    texts: Mapping[int, tuple[Text, ...]] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def as_phrases(value: Any) -> tuple[str, ...] | None:
    """The phrases of a string or a list of strings; None for anything else, also for empty or endless ones."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        return None
    if not all(isinstance(p, str) and p.strip() and len(p) <= LONGEST for p in parts):
        return None
    return tuple(part.strip() for part in parts)


def understand_texts(
    texts: Iterable[Text], prompted: Collection[int], table: StructureTable | None
) -> Meant:
    """The structures that the texts of a case mean; labels in `prompted` have points, boxes or other prompts.

    A text that is refused costs no other one. Of a label with prompts nothing is named.
    """
    understood, lines = _understood(texts, table)
    by_label: dict[int, dict[str, list[Text]]] = {}
    for text, name, label in understood:
        by_label.setdefault(label, {}).setdefault(name, []).append(text)
    named: dict[int, str] = {}
    for label, meanings in by_label.items():
        answers, problem = _of_label(label, meanings, prompted, named, table)
        if problem:
            lines.append(problem)
        if answers is not None:
            named[label] = answers
    return Meant(
        named, {label: tuple(by_label[label][name]) for label, name in named.items()}, tuple(lines)
    )


def labels_of(texts: Iterable[Text], table: StructureTable | None) -> frozenset[int]:
    """The labels that the texts may lead to; those that are refused name none."""
    return frozenset(label for _, _, label in _understood(texts, table)[0])


def _understood(
    texts: Iterable[Text], table: StructureTable | None
) -> tuple[list[tuple[Text, str, int]], list[str]]:
    """Each text with its structure and label, and a line for each phrase that is refused."""
    structures: dict[str, Structure | None] = {}  # the same words may stand in every slice
    found, lines = [], []
    for text in texts:
        if text.phrase not in structures:
            if len(structures) == MOST:
                lines.append(f"{text.where}: text: more than {MOST} phrases; the rest is left out")
                break
            try:
                structures[text.phrase] = _structure(text.phrase, table)
            except NNUNetPromptError as error:
                structures[text.phrase] = None
                lines.append(f"{text.where}: text: {error}")
        structure = structures[text.phrase]
        if structure is not None:
            label = structure.official if text.label is None else text.label
            found.append((text, structure.name, label))
    return found, lines


def _structure(phrase: str, table: StructureTable | None) -> Structure:
    if table is None:
        raise PromptError(f"{phrase!r} needs a model that knows structures")
    return table.find(phrase)


def _of_label(
    label: int,
    meanings: Mapping[str, list[Text]],
    prompted: Collection[int],
    named: Mapping[int, str],
    table: StructureTable | None,
) -> tuple[str | None, str]:
    """The structure that answers for a label, if any, and a line about what is wrong, or nothing."""
    name, *others = meanings
    where = meanings[name][0].where
    if others:
        both = f"{name!r} and {others[0]!r}"
        return None, f"{where}: text: label {label} is to be {both}: name one of them"
    owners = [s.name for s in (table.structures if table else ()) if s.official == label]
    contradicts = (
        f"{where}: text: label {label} is {owners[0]!r} of the model, its text means {name!r}"
        if owners and name not in owners
        else ""
    )
    if label in prompted:
        return None, f"{contradicts}; only its other prompts are used" if contradicts else ""
    twice = next((other for other, known in named.items() if known == name), None)
    if twice is not None:
        return None, f"{where}: text: label {label} means {name!r}, and so does label {twice}"
    return name, f"{contradicts}, which answers for it" if contradicts else ""
