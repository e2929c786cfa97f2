"""The choices of an evaluation: tolerances, unions of structures, lesion-wise structures, groups and the table.

A union is several label values taken as one structure. Its key is their sum as text, "200+1220+2221", in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_prompt.common.arguments import as_path, finite_number, items, label_value, shown
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.names import Names, NamesLike
from nnunet_prompt.evaluation.pairs import Extra, Missing
from nnunet_prompt.io.names import composed

TOLERANCES_MM = (1.0, 2.0, 3.0)
LESION_IOU = 0.1
DIAGRAMS = (".svg", ".png")
UNION = "scar+edema=2221+1220"
Key = int | str  # a label value, or the values of a union joined by +
UnionsLike = str | Mapping[str, Sequence[int | str]] | None
LabelsLike = str | Sequence[int | str]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of `evaluate`, checked as they are made: a wrong one raises `NNUNetPromptError`.

    tolerances_mm: of the normalised surface Dice, in mm.
    unions: {"scar+edema": [2221, 1220]}, or "scar+edema=2221+1220" with commas between several; by value or by name.
        Those of the data set's own dataset.json are scored in any case.
    lesions: structures or unions, by value or by name, of which connected components are matched, too: "scar,1220".
    lesion_iou: the smallest intersection over union of two components that match.
    groups: a CSV with a column `case`; every other column groups the cases. None takes what the side file of the
        label maps' data set has: centre, vendor, modality, sequence, task.
    csv: a table to write, one row per case and structure.
    probabilities: a folder of probability maps (`predict --probabilities`): their calibration is added.
    reliability: a diagram of it to write, .svg or .png.
    readers: folders of further readers' label maps of the same cases: their agreement is added.

    >>> EvaluateOptions(tolerances_mm=[2]).tolerances_mm
    (2.0,)
    """

    tolerances_mm: Sequence[float] = TOLERANCES_MM
    unions: UnionsLike = None
    lesions: LabelsLike = ()
    lesion_iou: float = LESION_IOU
    groups: Path | str | None = None
    csv: Path | str | None = None
    probabilities: Path | str | None = None
    reliability: Path | str | None = None
    readers: Sequence[Path | str] = ()

    def __post_init__(self) -> None:
        given = items(self.tolerances_mm)
        numbers = [finite_number("tolerances_mm", t, 2.0) for t in given or ()]
        if not numbers or min(numbers) < 0:
            raise NNUNetPromptError(
                f"tolerances_mm: expected distances in mm from 0 on, such as (1, 2, 3), "
                f" found {shown(self.tolerances_mm)}"
            )
        iou = finite_number("lesion_iou", self.lesion_iou, LESION_IOU)
        if not 0 < iou <= 1:
            raise NNUNetPromptError(
                f"lesion_iou: expected a number above 0 and up to 1, such as {LESION_IOU}, found {iou:g}"
            )
        _set(self, "tolerances_mm", tuple(sorted(set(numbers))))
        _set(self, "unions", _union_parts(self.unions))
        _set(self, "lesions", tuple(_parts("lesions", self.lesions, ",")))
        for name in ("groups", "csv", "probabilities", "reliability"):
            value = getattr(self, name)
            _set(self, name, None if value is None else as_path(name, value))
        readers = [self.readers] if isinstance(self.readers, (str, Path)) else items(self.readers)
        if readers is None:
            raise NNUNetPromptError(
                f"readers: expected folders, such as ['reader2', 'reader3'], found {shown(self.readers)}"
            )
        _set(self, "readers", tuple(as_path("readers", one) for one in readers))
        self._check_diagram()

    def _check_diagram(self) -> None:
        if self.reliability is None:
            return
        if self.probabilities is None:
            raise NNUNetPromptError(
                "reliability: a diagram of probability maps; give their folder with --probabilities, too"
            )
        if Path(self.reliability).suffix.lower() not in DIAGRAMS:
            raise NNUNetPromptError(
                f"reliability: expected a file that ends in .svg or .png, found {self.reliability}"
            )


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """How a folder of predictions is scored against a folder of label files.

    label_values: the values to score; None scores all that occur.
    names: {500: "LV"}, "500=LV,200=scar" or a dataset.json; None looks for the data set's own. A value named `ignore`
        is not scored, and its voxels in the label map belong to nothing.
    missing: a case without a prediction is an error, is scored as an empty mask, or is skipped.
    extra: a prediction without a label file is an error, or is skipped.
    num_processes: above 1 needs `if __name__ == "__main__"`.
    """

    label_values: Sequence[int] | None = None
    names: NamesLike = None
    missing: Missing = "error"
    extra: Extra = "error"
    num_processes: int = 1


@dataclass(frozen=True, slots=True)
class Measures:
    """The options as one case needs them: only keys and numbers.

    unions: label values by key.
    names: of unions, by key.
    lesions: keys whose components are matched.
    """

    tolerances_mm: tuple[float, ...] = TOLERANCES_MM
    unions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    lesions: tuple[Key, ...] = ()
    lesion_iou: float = LESION_IOU

    def keys_of(self, values: Iterable[int]) -> dict[str, tuple[int, ...]]:
        """The unions of which one value at least is among `values`."""
        there = set(values)
        return {k: members for k, members in self.unions.items() if there & set(members)}


def resolve(
    options: EvaluateOptions, known: Names, found: Iterable[int], chosen: Sequence[int] | None
) -> Measures:
    """The measures that `options` mean where the label maps hold the values `found`, which decide between numberings.

    Of the data set's own unions, those count whose values are all `chosen`, or all of them if nothing is. Raises
    `NNUNetPromptError` for a name that no structure has.
    """
    values = set(found)
    number = known.numbering(values)
    names = dict(known.numberings[number]) if known.numberings else {}
    asked: Any = options.unions
    unions: dict[str, tuple[int, ...]] = {}
    titles: dict[str, str] = {}
    own = known.unions[number] if number < len(known.unions) else {}
    own = {f"whole {n}": m for n, m in own.items() if chosen is None or set(m) <= set(chosen)}
    for title, parts in (*asked, *own.items()):
        members = tuple(sorted({label_value("unions", part, names) for part in parts}))
        key = "+".join(map(str, members))
        if len(members) < 2:
            raise NNUNetPromptError(
                f"unions: {title}: expected two labels or more, such as {UNION}"
            )
        unions.setdefault(key, members)
        titles.setdefault(key, title)
    lesions = tuple(_lesion_key(part, names, titles) for part in options.lesions)
    return Measures(tuple(options.tolerances_mm), unions, titles, lesions, options.lesion_iou)


def _lesion_key(part: int | str, names: Mapping[int, str], titles: Mapping[str, str]) -> Key:
    for key, title in titles.items():
        if isinstance(part, str):
            spelt = {composed(part), "+".join(sorted(part.split("+"), key=lambda p: (len(p), p)))}
            if spelt & {key, composed(title)}:
                return key
    return label_value("lesions", part, names)


def _union_parts(given: Any) -> tuple[tuple[str, tuple[int | str, ...]], ...]:
    """Title and members of each union."""
    if given is None:
        return ()
    if isinstance(given, str):
        split = [[p.strip() for p in one.partition("=")] for one in given.split(",")]
        return tuple(
            (title, tuple(_parts("unions", members or title, "+"))) for title, _, members in split
        )
    if isinstance(given, Mapping):
        return tuple((str(k), tuple(_parts("unions", m, "+"))) for k, m in given.items())
    if isinstance(given, tuple) and all(isinstance(one, tuple) and len(one) == 2 for one in given):
        return given  # of options that are made again, as dataclasses.replace does
    raise NNUNetPromptError(
        f'unions: expected {{"scar+edema": [2221, 1220]}} or "{UNION}", found {shown(given)}'
    )


def _parts(name: str, given: Any, sign: str) -> list[int | str]:
    if isinstance(given, int) and not isinstance(given, bool):
        return [given]
    split: list[Any] | None = given.split(sign) if isinstance(given, str) else items(given)
    parts = None if split is None else [_part(p) for p in split]
    if parts is None or "" in parts:
        raise NNUNetPromptError(
            f"{name}: expected label values or names, such as 2221{sign}1220, found {shown(given)}"
        )
    return parts


def _part(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    return int(given) if given.strip().isdecimal() else given.strip()


def _set(options: EvaluateOptions, name: str, value: object) -> None:
    object.__setattr__(options, name, value)
