"""Evaluations as `evaluate_folders` returns them, written as short tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from nnunet_prompt.evaluation.ranking.values import Column, Values, collect_values
from nnunet_prompt.evaluation.results import Evaluation

Pair = tuple[float | None, float | None]  # Dice and HD


def evaluation(
    cases: Mapping[str, Mapping[int, Pair | None]],
    names: Mapping[int, str] | None = None,
    **more: Any,
) -> Evaluation:
    """Dice and HD by case and label value; None is a structure that the prediction alone has: Dice 0, HD 50."""
    rows = {case: {str(v): _row(pair) for v, pair in row.items()} for case, row in cases.items()}
    known = names or {}
    values = sorted({v for row in cases.values() for v in row})
    return cast(
        Evaluation,
        {
            "cases": rows,
            "structures": {str(v): {"name": known.get(v)} for v in values},
            **more,
        },
    )


def _row(pair: Pair | None) -> dict[str, float | None]:
    if pair is None:
        return {"dice": 0.0, "hd_mm": 50.0, "volume_error": None}
    dice, hd_mm = pair
    return {"dice": dice, "hd_mm": hd_mm, "volume_error": None if dice is None else -0.5}


def dice_values(**teams: Sequence[float]) -> Values:
    """One structure, 500, with the Dice of each case "c0", "c1", ... by team."""
    return collect_values(
        {
            team: evaluation({f"c{k}": {500: (dice, 10.0)} for k, dice in enumerate(scores)})
            for team, scores in teams.items()
        }
    )


def column(metric: str = "dice", cases: int = 2, structures: tuple[str, ...] = ("500",)) -> Column:
    return Column(metric, metric, structures, np.ones(cases, bool), 1.0)
