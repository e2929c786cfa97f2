"""How many tiles a run took, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """The tiles that were run for each label of a case, and how many of them were grown: added where a mask touched
    the border of what had been run."""

    tiles: Mapping[int, int]
    grown: Mapping[int, int]

    def __str__(self) -> str:
        """One line: "label 500: 3 tiles (1 of them added); label 200: 2 tiles"."""
        parts = [
            f"label {label}: {_count(tiles, 'tile')}{_grown(self.grown.get(label, 0))}"
            for label, tiles in self.tiles.items()
        ]
        return "; ".join(parts) or "no label is prompted, so no tile was run"


def in_short(cases: Sequence[Tally]) -> str:
    """One line about all cases: "ran 12 tiles for 5 labels in 2 cases (3 of them added where a mask ...)"."""
    tiles, labels = (
        sum(sum(c.tiles.values()) for c in cases),
        sum(len(c.tiles) for c in cases),
    )
    grown = sum(sum(c.grown.values()) for c in cases)
    said = (
        f"ran {_count(tiles, 'tile')} for {_count(labels, 'label')} in {_count(len(cases), 'case')}"
    )
    return f"{said}{_grown(grown, ' where a mask touches the border of the first ones')}"


def _grown(number: int, where: str = "") -> str:
    return f" ({number} of them added{where})" if number else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
