"""The names of label values, and the value whose voxels are not scored.

They come from the caller (`{500: "LV"}`, "500=LV,200=myocardium" or a dataset.json), else from the dataset.json of the
label maps' data set. A data set of ours has two numberings, the labels 1..K of nnU-Net and the official values of the
challenge: the label maps show which of them is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.arguments import shown
from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.data.structures import BLOCK
from nnunet_prompt.io.json_file import read_object

SAMPLE = "500=LV,200=myocardium"
NamesLike = Mapping[int, str] | str | Path | None


@dataclass(frozen=True, slots=True)
class Names:
    """Names by label value in one or two numberings, nnU-Net's own first.

    source: the file they are from; None for names of the caller.
    ignore: the value whose voxels are not scored.
    unions: of each numbering, the structures that are unions of several values.
    """

    numberings: tuple[Mapping[int, str], ...] = ()
    source: Path | None = None
    ignore: int | None = None
    unions: tuple[Mapping[str, tuple[int, ...]], ...] = ()

    def numbering(self, values: Iterable[int]) -> int:
        """The index of the numbering that knows the most of `values`; 0 if there is none."""
        wanted = set(values)
        counts = [len(wanted & n.keys()) for n in self.numberings]
        return counts.index(max(counts)) if counts else 0

    def of(self, values: Iterable[int]) -> dict[int, str]:
        """The names in the numbering that knows the most of `values`."""
        wanted = set(values)
        known = self.numberings[self.numbering(wanted)] if self.numberings else {}
        return {value: known[value] for value in sorted(wanted & known.keys())}


def read_names(names: NamesLike, labels: Path, predictions: Path) -> Names:
    """The names that are given, else those of the dataset.json in or above `labels`, or in `predictions`.

    Raises `NNUNetPromptError` for what is no names. A dataset.json that was only found, and does not name values, is
    skipped.
    """
    if names is not None:
        return _given(names)
    for folder in (labels, labels.absolute().parent, predictions):
        path = folder / "dataset.json"
        if path.is_file():
            try:
                return _of_file(path)
            except NNUNetPromptError:
                continue  # it was only found there, and no number depends on its names
    return Names()


def _given(names: Mapping[int, str] | str | Path) -> Names:
    if isinstance(names, Mapping):
        return _own([(value, name) for value, name in names.items()])
    if not isinstance(names, (str, Path)):
        raise NNUNetPromptError(
            f"names: expected {SAMPLE}, a dictionary such as {{500: 'LV'}} or the path of a dataset.json,"
            f" found {shown(names)}"
        )
    if str(names).endswith(".json") or Path(names).is_file():
        return _of_file(Path(names))
    return _own([_pair(part) for part in str(names).split(",")])


def _pair(part: str) -> tuple[Any, str]:
    """`500=LV`, or `LV=500`, where only one side is a number."""
    value, equals, name = (p.strip() for p in part.partition("="))
    if name.isdecimal() and not value.isdecimal():
        value, name = name, value
    if not equals or not value.isdecimal():
        raise NNUNetPromptError(
            f"names: expected value=name with commas between, such as {SAMPLE}, found {part!r}"
        )
    return int(value), name


def _own(pairs: list[tuple[Any, Any]]) -> Names:
    found: dict[int, str] = {}
    for value, name in pairs:
        number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not number or not isinstance(name, str) or not name.strip():
            raise NNUNetPromptError(
                f"names: expected a label value from 1 on and a name, such as {SAMPLE},"
                f" found {shown(value)}={shown(name)}"
            )
        if value in found or name in found.values():
            raise NNUNetPromptError(
                f"names: {value}={name} names a value or uses a name for the second time"
            )
        found[value] = name
    ignore = next((value for value, name in found.items() if name == "ignore"), None)
    return Names((found,), None, ignore)


def _of_file(path: Path) -> Names:
    expected = f"expected a dataset.json, or names such as {SAMPLE}"
    content = read_object(path, DatasetError, missing=expected, way_out=f"; {expected}")
    labels = _labels(content.get("labels"))
    ignore = labels.pop("ignore", None)
    labels.pop("background", None)
    if not labels:
        raise DatasetError(
            f'{path}: expected labels such as {{"background": 0, "LV": 1}}, found no label with a value'
        )
    official = _officials(content.get(BLOCK))
    ignore = None if ignore in official else ignore
    own = {value: name for name, value in labels.items()}
    both = (own, official) if official and official != own else (own,)
    return Names(both, path, ignore, _unions(content.get(BLOCK), len(both)))


def _labels(block: Any) -> dict[str, int]:
    """Name to value; of a region, which is a list, the value only if there is one. Old files have {"1": "LV"}."""
    labels = {}
    for key, entry in block.items() if isinstance(block, Mapping) else ():
        entry = entry[0] if isinstance(entry, list) and len(entry) == 1 else entry
        if str(key).isdecimal() and isinstance(entry, str) and not entry.isdecimal():
            labels[entry] = int(key)
        elif isinstance(entry, (int, str)) and str(entry).isdecimal():
            labels[str(key)] = int(entry)
    return labels


def _officials(block: Any) -> dict[int, str]:
    structures = block.get("structures") if isinstance(block, Mapping) else None
    found: dict[int, str] = {}
    for name, entry in structures.items() if isinstance(structures, Mapping) else ():
        value = entry.get("official") if isinstance(entry, Mapping) else None
        if isinstance(value, int):
            found[value] = str(name) if value not in found else f"{found[value]} / {name}"
    return found


def _unions(block: Any, numberings: int) -> tuple[dict[str, tuple[int, ...]], ...]:
    """The structures with several members, in labels and in official values; none of a block in another form."""
    structures = block.get("structures") if isinstance(block, Mapping) else None
    entries = structures if isinstance(structures, Mapping) else {}
    try:
        officials = {entry["label"]: entry["official"] for entry in entries.values()}
        members = {name: sorted(set(entry["members"])) for name, entry in entries.items()}
        found = (
            members,
            {name: sorted({officials[m] for m in own}) for name, own in members.items()},
        )
    except (KeyError, TypeError, AttributeError):
        return ()
    wide = ({n: tuple(own) for n, own in one.items() if len(own) > 1} for one in found)
    return tuple(wide)[:numberings]
