"""Probabilities beside masks: what the network gives each structure or prompted label, before they are merged.

Without prompts a map is of a structure with its parts: "200+2221" where the structure 200 holds 2221. With prompts it
is of the object that the prompts of a label point at, where tiles were run, and 0 elsewhere; slices in which the label
is not prompted count, too. What only a mask obeys is not in them: priorities, one component, points that masks must
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.level_files import LevelFiles, as_levels
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.probability_file import (
    key_of,
    probabilities_of,
    probability_path,
    write_probability,
)
from nnunet_prompt.io.threads import checkpoint

if TYPE_CHECKING:
    from nnunet_prompt.inference.grid import Placed
    from nnunet_prompt.sliding_window.canvas import LabelLogits


def structure_keys(table: StructureTable, wanted: Collection[str] = ()) -> dict[str, list[int]]:
    """The labels 1..K of the structures behind each map, by its key; of those that are wanted, or of all.

    Structures with the same values share a map.
    """
    chosen = table.chosen(wanted)
    officials = {s.label: s.official for s in table.structures}
    keys: dict[str, list[int]] = {}
    for one in chosen:
        key = key_of((one.official, *(officials[m] for m in one.members)))
        keys.setdefault(key, []).append(one.label)
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class CaseLogits:
    """The logits of prompted labels on the network's grid, and how they get to the file.

    answers: of each map, by its key; the highest counts, and without any it is 0 throughout.
    """

    case: Placed
    answers: Mapping[str, Sequence[LabelLogits]]
    resampler: Callable[..., Any]

    @property
    def keys(self) -> Sequence[str]:
        return list(self.answers)

    def close(self) -> None:
        """Nothing: there is no file."""

    def levels(self, key: str) -> npt.NDArray[np.uint8]:
        """The map of one key on the file grid, round(255 p); resampled as the masks are."""
        found = np.zeros(self.case.file_shape, np.uint8, order="F")
        answers = self.answers[key]
        if answers:
            reader = self.case.file_to_reader.apply(found)
            self.case.grid.paste(answers, self.resampler, as_levels, reader)
        return found


Maps = CaseLogits | LevelFiles  # probability maps by `keys`, from `levels(key)`; `close` them


def map_folder(mask: Path) -> Path:
    """The folder of the maps that go with a mask, which is made if it is not there."""
    folder = probability_path(mask, "1").parent
    make_folder(folder)
    return folder


def write_probabilities(maps: Maps, mask: Path, reference: NiftiVolume) -> None:
    """Writes the maps beside where a mask belongs, one after the other, and removes others of this case."""
    if maps.keys:
        map_folder(mask)
    wanted = [probability_path(mask, key) for key in maps.keys]
    for path in set(probabilities_of(mask)) - set(wanted):
        path.unlink(missing_ok=True)
    for key, path in zip(maps.keys, wanted, strict=True):
        checkpoint()
        write_probability(path, maps.levels(key), reference)
