"""The validation download of a challenge for phantoms: images in its layout, without labels.

val/...                  the download, as the challenge packs it
hidden_labels_val/...    each mask where the upload has it and with its values, but without `_pred` in its name

So a folder of `hidden_labels_val` and the same folder of an upload are what `nnunet-prompt evaluate` takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.phantom.scanner import Volume

DOWNLOAD = "val"
LABELS = "hidden_labels_val"
ENDING = ".nii.gz"


@dataclass(frozen=True, slots=True, eq=False)
class ValCase:
    """A validation case: its anonymous name, its images by their paths in the download, its masks by those above."""

    name: str
    images: Mapping[str, Volume]
    masks: Mapping[str, Volume]


def _one_series(centre: str) -> tuple[str, ...]:
    del centre
    return ("",)


@dataclass(frozen=True, slots=True)
class ValSet:
    """How the validation download of a task is made, of its `centres` by rotation.

    Names are anonymous and count from 1 in each series: `series` gives those that a case of a centre is in (default:
    all are in one, ""). `draw` makes a case from a generator, its centre and its number in each of its series.
    `tables` gives further files from the paths of all images.
    """

    centres: tuple[str, ...]
    draw: Callable[[np.random.Generator, str, Mapping[str, int]], ValCase]
    series: Callable[[str], tuple[str, ...]] = _one_series
    tables: Callable[[Sequence[str]], Mapping[str, bytes]] | None = None

    def numbers(self, centres: Iterable[str]) -> Iterator[dict[str, int]]:
        """For one case of each of these centres, in this order, its number in each of its series."""
        counts: Counter[str] = Counter()
        for centre in centres:
            own = self.series(centre)
            counts.update(own)
            yield {name: counts[name] for name in own}


def files_of(case: ValCase) -> dict[str, Volume]:
    """The images and the hidden masks of a validation case, by path."""
    images = {f"{DOWNLOAD}/{path}": volume for path, volume in case.images.items()}
    return {**images, **{f"{LABELS}/{path}": volume for path, volume in case.masks.items()}}


def write_tables(target: Path, val: ValSet) -> None:
    """Writes the tables of the download about the images that were written."""
    if val.tables is None:
        return
    root = target / DOWNLOAD
    images = sorted(p.relative_to(root).as_posix() for p in root.rglob(f"*{ENDING}"))
    for path, content in val.tables(images).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(root / path) as partial:
            partial.write_bytes(content)
