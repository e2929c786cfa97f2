"""The structures of a data set: the `nnunet_prompt` block of `dataset.json`.

    "nnunet_prompt": {
      "version": 1,
      "orientation": "canonical",
      "structures": {"LV": {"label": 1, "members": [1], "official": 500, "aliases": ["blood pool"]}, ...},
      "priority": ["scar", "LV"],
      "cases": {"case_0001": {"annotated": ["LV"], "prompted": ["LV", "scar"], "weight": 0.05}, ...}
    }
Structure k (label k) is output k of the network, k = 1..K; output 0 is the object head. A structure is the union of
its members, which always hold its own label. A case that is not listed annotates every structure. A label map may show
more than its image can annotate (scar in a sequence without contrast agent): `prompted` then names all that may be
pointed at. `weight` is the relative chance of a case to be drawn for training; all cases have one, or none. A data set
without the block has one structure per label, and its images are used in the orientation of its files.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.labels import foreground_labels
from nnunet_prompt.data.word_bank import WordBank, find_phrase
from nnunet_prompt.data.words import report
from nnunet_prompt.io.names import composed, entry_of

BLOCK = "nnunet_prompt"
BLOCK_VERSION = 1
Orientation = Literal["canonical", "file"]


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure: output `label` of the network, the union of the label ids in `members`.

    `official` is the value that stands for it in prompts files and in written masks; `aliases` are other names of it,
    beside those that `data.words` knows.
    """

    name: str
    label: int
    members: tuple[int, ...]
    official: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StructureTable:
    """The structures of a data set in the order of their labels 1..K, and which case annotates which.

    `annotated` names the structures whose heads a case annotates; `prompted` those that its label map shows, for cases
    where these are more. `weights` are the relative chances of cases to be drawn for training; empty: all alike.

    `priority` decodes overlaps: of two structures that both claim a voxel, the one named first gets it; structures
    that it does not name come last and decide a voxel among themselves by the higher probability.
    """

    structures: tuple[Structure, ...]
    orientation: Orientation = "file"
    priority: tuple[str, ...] = ()
    # not in the repr: nnU-Net writes the repr of a trainer's attributes into debug.json
    annotated: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    prompted: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    weights: Mapping[str, float] = field(default_factory=dict, repr=False)
    bank: WordBank | None = field(default=None, repr=False, compare=False)  # of paraphrases

    def __post_init__(self) -> None:
        labels = [s.label for s in self.structures]
        if labels != list(range(1, len(labels) + 1)):
            raise DatasetError(
                f"dataset.json: {BLOCK}.structures must have the labels 1 to {len(labels)} in order, found {labels}"
            )
        names = {s.name for s in self.structures}
        for s in self.structures:
            if s.label not in s.members or not set(s.members) <= set(labels):
                raise DatasetError(
                    f"dataset.json: {BLOCK}.structures[{s.name!r}].members must hold label {s.label} and only"
                    f" labels 1 to {len(labels)}, found {list(s.members)}"
                )
        if len(names) < len(labels):
            raise DatasetError(f"dataset.json: {BLOCK}.structures has a name twice: {self.names}")
        self._check_officials()
        _check_names(self.priority, names, "priority")
        for case, annotated in self.annotated.items():
            _check_names(annotated, names, f"cases[{case!r}].annotated")
        for case, prompted in self.prompted.items():
            _check_names(prompted, names, f"cases[{case!r}].prompted")
            forgotten = sorted(self.annotated.get(case, names) - prompted)
            if forgotten:
                raise DatasetError(
                    f"dataset.json: {BLOCK}.cases[{case!r}].prompted must hold every annotated structure,"
                    f" found none of the name {forgotten[0]!r}"
                )
        for case, weight in self.weights.items():
            if type(weight) not in (int, float) or not 0 < weight < math.inf:
                raise DatasetError(
                    f"dataset.json: {BLOCK}.cases[{case!r}].weight must be a number above 0, found {weight!r}"
                )

    def _check_officials(self) -> None:
        """Apart from a part and its whole, two structures of one value could not be distinguished in a mask.

        Neither could one of 0 be distinguished from the background.
        """
        for i, s in enumerate(self.structures):
            rivals = [o for o in self.structures[:i] if o.official == s.official]
            if s.official < 1 or not all(_nested(s, o) for o in rivals):
                raise DatasetError(
                    f"dataset.json: {BLOCK}.structures[{s.name!r}].official must be a number from 1 on that it"
                    f" shares only with its parts or its whole, found {s.official}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.structures)

    def annotated_labels(self, case: str) -> frozenset[int]:
        """The labels of the structures that `case` annotates; a case that is not listed annotates all."""
        names = entry_of(self.annotated, case)
        return frozenset(s.label for s in self.structures if names is None or s.name in names)

    def prompted_labels(self, case: str) -> frozenset[int]:
        """The labels of the structures that the label map of `case` shows; the annotated ones unless it is listed."""
        names = entry_of(self.prompted, case)
        if names is None:
            return self.annotated_labels(case)
        return frozenset(s.label for s in self.structures if s.name in names)

    def probabilities(self, cases: Sequence[str]) -> tuple[float, ...] | None:
        """The chance of each of `cases` to be drawn for training, of sum 1; None where no case has a weight.

        Raises `DatasetError` where only some have one.
        """
        if not self.weights:
            return None
        found = {case: entry_of(self.weights, case) for case in cases}
        missing = next((case for case, weight in found.items() if weight is None), None)
        if missing is not None:
            raise DatasetError(
                f"dataset.json: {BLOCK}.cases[{missing!r}] has no weight and other cases have one:"
                " give one to every case, or to none"
            )
        weights = [found[case] or 0.0 for case in cases]
        return tuple(weight / math.fsum(weights) for weight in weights)

    def find(self, wanted: str) -> Structure:
        """The structure with that name or that official value; of a part and its whole with one value, the whole.

        Else the one that the words of `wanted` mean (`data.words`, then the bank); what was forgiven is logged. Raises
        `DatasetError` if there is none, or if it could be two.
        """
        named = [s for s in self.structures if composed(s.name) == composed(wanted)]
        valued = [s for s in self.structures if str(s.official) == wanted]
        if named or valued:
            return max(named or valued, key=lambda s: len(set(s.members)))
        try:
            names = {s.name: s.aliases for s in self.structures}
            found = find_phrase(wanted, names, self.bank)
        except DatasetError as error:
            listed = [f"{s.name} ({s.official})" for s in self.structures]
            known = ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")
            raise DatasetError(f"{error}: this model knows {known}") from None
        report(wanted, found)
        return next(s for s in self.structures if s.name == found.name)

    def chosen(self, wanted: Collection[str] = ()) -> list[Structure]:
        """The structures of these names or official values in their order, or all. Raises like `find`."""
        return [self.find(one) for one in wanted] if wanted else list(self.structures)

    def in_labels(self) -> StructureTable:
        """The same table with nnU-Net's label ids as official values."""
        plain = tuple(replace(s, official=s.label) for s in self.structures)
        return replace(self, structures=plain)

    def to_block(self) -> dict[str, Any]:
        """The `nnunet_prompt` block of `dataset.json`, ready for `json.dump`."""
        return {
            "version": BLOCK_VERSION,
            "orientation": self.orientation,
            "structures": {
                s.name: {"label": s.label, "members": list(s.members), "official": s.official}
                | ({"aliases": list(s.aliases)} if s.aliases else {})
                for s in self.structures
            },
            "priority": list(self.priority),
            "cases": {c: self._case(c) for c in dict.fromkeys((*self.annotated, *self.weights))},
        }

    def _case(self, case: str) -> dict[str, Any]:
        known = {"annotated": self.annotated}
        known |= {"prompted": self.prompted} if case in self.annotated else {}
        told: dict[str, Any] = {k: sorted(v[case]) for k, v in known.items() if case in v}
        return told | ({"weight": self.weights[case]} if case in self.weights else {})


def structures_from_dataset_json(dataset_json: Mapping[str, Any]) -> StructureTable:
    """Reads the structures of a data set from its `dataset.json`.

    Raises `DatasetError` for regions (labels that are lists: state unions as `members` instead), for a data set without
    structures and for a block that breaks the form above.
    """
    labels = foreground_labels(dataset_json, block=BLOCK)
    block = dataset_json.get(BLOCK)
    if block is None:
        return StructureTable(tuple(Structure(n, v, (v,), v) for n, v in labels.items()))
    try:
        table = _read_block(block)
    except DatasetError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetError(
            f"dataset.json: {BLOCK} is not in the documented form ({error!r})"
        ) from error
    if len(table.structures) != len(labels):
        raise DatasetError(
            f"dataset.json: {BLOCK}.structures names {len(table.structures)} structures, labels has {len(labels)};"
            " there must be one structure per label"
        )
    return table


def _read_block(block: Mapping[str, Any]) -> StructureTable:
    version = block.get("version", BLOCK_VERSION)
    if version != BLOCK_VERSION:
        raise DatasetError(
            f"dataset.json: {BLOCK}.version is {version}, this package reads {BLOCK_VERSION}"
        )
    orientation = block.get("orientation", "file")
    if orientation not in ("canonical", "file"):
        expected = f"{BLOCK}.orientation must be 'canonical' or 'file'"
        raise DatasetError(f"dataset.json: {expected}, found {orientation!r}")
    structures = [_read_structure(name, entry) for name, entry in block["structures"].items()]
    cases = block.get("cases", {}).items()
    structures.sort(key=lambda s: s.label)
    return StructureTable(
        tuple(structures),
        orientation,
        tuple(block.get("priority", ())),
        annotated={
            case: frozenset(e["annotated"])
            for case, e in cases
            if "annotated" in e or "weight" not in e
        },
        prompted={case: frozenset(e["prompted"]) for case, e in cases if "prompted" in e},
        weights={case: e["weight"] for case, e in cases if "weight" in e},
    )


def _read_structure(name: str, entry: Mapping[str, Any]) -> Structure:
    where = f"{BLOCK}.structures[{name!r}]"
    if not isinstance(entry["members"], list):
        raise DatasetError(
            f"dataset.json: {where}.members must be a list, found {entry['members']!r}"
        )
    return Structure(
        name,
        _whole(entry["label"], f"{where}.label"),
        tuple(_whole(m, f"{where}.members") for m in entry["members"]),
        _whole(entry["official"], f"{where}.official"),
        _aliases(entry.get("aliases", []), f"{where}.aliases"),
    )


def _aliases(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise DatasetError(f"dataset.json: {where} must be a list of names, found {value!r}")
    return tuple(value)


def _nested(a: Structure, b: Structure) -> bool:
    return set(a.members) <= set(b.members) or set(b.members) <= set(a.members)


def _whole(value: Any, where: str) -> int:
    """JSON's numbers as they are: a text, a fraction or a truth value is no label."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DatasetError(f"dataset.json: {where} must be a whole number, found {value!r}")
    return value


def without_cases(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `dataset.json` that may travel into a model folder: nothing in it names a case."""
    copy = dict(dataset_json)
    if BLOCK in copy:
        copy[BLOCK] = {key: value for key, value in copy[BLOCK].items() if key != "cases"}
    return copy


def _check_names(found: Iterable[str], known: set[str], where: str) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise DatasetError(
            f"dataset.json: {BLOCK}.{where} names {unknown[0]!r}, the structures are {sorted(known)}"
        )
