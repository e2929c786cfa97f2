"""Our metrics beside those of two libraries, whose values `make_oracle.py` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.measures import measure_label_maps
from nnunet_prompt.evaluation.metrics import surface_distances
from nnunet_prompt.evaluation.options import Measures
from tests.evaluation.oracle_shapes import SHAPES, TOLERANCES_MM
from tests.helpers.each import each

ORACLE = json.loads(Path(__file__).with_name("oracle.json").read_text("utf-8"))


def _ours(name: str) -> dict[str, Any]:
    truth, prediction, spacing = SHAPES[name]()
    found = measure_label_maps(
        truth.astype(np.uint8),
        prediction.astype(np.uint8),
        spacing_mm=spacing,
        labels=[1],
        measures=Measures(TOLERANCES_MM),
        unions={},
    )[1]
    distances = surface_distances(truth, prediction, spacing_mm=spacing)
    return {
        **{m: getattr(found.scores, m) for m in ("dice", "hd_mm", "hd95_mm", "assd_mm")},
        **found.more,
        "asd_prediction_mm": distances.prediction_to_truth.mean(),
        "asd_reference_mm": distances.truth_to_prediction.mean(),
    }


@each("name", list(SHAPES))
def test_the_values_of_both_libraries_are_reproduced(name: str) -> None:
    ours = _ours(name)
    for library, expected in ORACLE["shapes"][name].items():
        found = {metric: ours[metric] for metric in expected}
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6), library  # they have 32 bits


def test_every_shape_was_measured_by_both() -> None:
    assert list(ORACLE["shapes"]) == list(SHAPES)
    assert all(set(row) == {"monai", "SimpleITK"} for row in ORACLE["shapes"].values())
