"""nnU-Net's training logs: the values of each epoch, from the text files of a fold, resumed or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_prompt.common.errors import ModelError

NAMES = "training_log_*.txt"
_STAMP = r"^\d{4}-\d\d-\d\d [\d:.]+: "
_NUMBER = r"(-?[\d.]+(?:e-?\d+)?|nan|-?inf)"
_EPOCH = re.compile(rf"{_STAMP}Epoch (\d+)\s*$")
_VALUES = {  # what a line sets, by its beginning
    "train_loss": re.compile(rf"{_STAMP}train_loss {_NUMBER}"),
    "val_loss": re.compile(rf"{_STAMP}val_loss {_NUMBER}"),
    "learning_rate": re.compile(rf"{_STAMP}Current learning rate: {_NUMBER}"),
    "seconds": re.compile(rf"{_STAMP}Epoch time: {_NUMBER} s"),
    "object": re.compile(rf"{_STAMP}Pseudo Dice .*of the object, with prompts: {_NUMBER}"),
}
_DICE = re.compile(rf"{_STAMP}Pseudo dice \[(.*)\]")
_SPLITS = re.compile(rf"{_STAMP}Using splits from existing split file: (.*splits_final\.json)\s*$")


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """The values of each epoch by name, `epochs` of each; NaN where an epoch has none.

    Names: train_loss, val_loss, learning_rate, seconds, structures (mean pseudo Dice without prompts), object (pseudo
    Dice of the object with prompts). `preprocessed` is the folder of the preprocessed data set, as it was named then.
    """

    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    preprocessed: Path | None = None

    @property
    def epochs(self) -> int:
        """How many epochs there are."""
        return len(next(iter(self.values.values()), ()))


def read_logs(fold: Path) -> TrainingLog:
    """All logs of a fold, in the order of their dates: a later one counts where an epoch is in both.

    Empty where there is none. Raises `ModelError` for one that cannot be read.
    """
    lines: list[str] = []
    for path in sorted(fold.glob(NAMES)):
        try:
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    splits = [match[1] for line in lines if (match := _SPLITS.match(line))]
    return TrainingLog(_by_epoch(lines), Path(splits[-1]).parent if splits else None)


def _by_epoch(lines: Iterable[str]) -> dict[str, tuple[float, ...]]:
    found: dict[int, dict[str, float]] = {}
    epoch = None
    for line in lines:
        begun = _EPOCH.match(line)
        if begun:
            epoch = int(begun[1])
            found[epoch] = {}
        elif epoch is not None:
            found[epoch].update(_values(line))
    found = {number: values for number, values in found.items() if "train_loss" in values}
    names = dict.fromkeys(name for values in found.values() for name in values)
    numbers = range(max(found, default=-1) + 1)
    return {
        name: tuple(found.get(number, {}).get(name, math.nan) for number in numbers)
        for name in names
    }


def _values(line: str) -> Iterator[tuple[str, float]]:
    for name, pattern in _VALUES.items():
        match = pattern.match(line)
        if match:
            yield name, float(match[1])
    match = _DICE.match(line)
    if match:  # [np.float64(0.5), nan], with numpy 1 [0.5, nan]
        numbers = [float(n) for n in re.findall(rf"(?<![\w.]){_NUMBER}(?![\w(])", match[1])]
        defined = [n for n in numbers if n == n]
        yield "structures", sum(defined) / len(defined) if defined else math.nan
