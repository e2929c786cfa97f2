"""Metrics that other packages add: entry points of the group `nnunet_prompt.metrics` (see `common.plugins`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.plugins import Plugin, plugins
from nnunet_prompt.evaluation.measures import names_of
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.options import Key, Measures

_OURS = frozenset((*(f.name for f in fields(Scores)), *names_of(Measures())))


def added_scores(
    reference: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    spacing_mm: Sequence[float],
    labels: Iterable[Key],
) -> tuple[dict[Key, dict[str, float | None]], tuple[str, ...]]:
    """The value of each added metric for each label or union of two label maps, and a line for each that failed.

    A metric is called with two boolean masks and the voxel size in mm along their axes. None stands for what is not
    finite, for a metric that failed, and for a label that is in neither map, about which none is asked.
    """
    found: dict[Key, dict[str, float | None]] = {}
    broken: dict[str, None] = {}
    metrics = plugins("metrics")
    if not metrics:
        return found, ()
    for label in labels:
        members = [int(value) for value in str(label).split("+")]
        masks = np.isin(reference, members), np.isin(prediction, members)
        found[label] = {}
        for metric in metrics:
            if metric.name in _OURS:
                broken[f"{metric.title}: we have a metric of this name; it is left out"] = None
                continue
            value: float | None = None
            if masks[0].any() or masks[1].any():
                try:
                    value = _value(metric, masks, spacing_mm)
                except NNUNetPromptError as error:
                    broken[" ".join(str(error).split())] = None
            found[label][metric.name] = value
    return found, tuple(broken)


def _value(
    metric: Plugin, masks: tuple[npt.NDArray[np.bool_], ...], spacing_mm: Sequence[float]
) -> float | None:
    value = metric.call(*(mask.copy() for mask in masks), tuple(map(float, spacing_mm)))
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise metric.failure("returned no number", error) from error
    return number if math.isfinite(number) else None
