"""Our metrics beside those of other libraries, whose values `make_oracle.py` and `make_oracle_lesions.py` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.lesions import match_lesions
from nnunet_prompt.evaluation.measures import measure_label_maps
from nnunet_prompt.evaluation.metrics import surface_distances
from nnunet_prompt.evaluation.options import Measures
from tests.evaluation.oracle_shapes import (
    BOXES,
    IOUS,
    LESIONS,
    SHAPES,
    TOLERANCES_MM,
    Pair,
)
from tests.helpers.each import each

ORACLE, OTHER = (
    json.loads(Path(__file__).with_name(name).read_text("utf-8"))
    for name in ("oracle.json", "oracle_lesions.json")
)


def _ours(pair: Pair) -> dict[str, Any]:
    truth, prediction, spacing = pair
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
    ours = _ours(SHAPES[name]())
    for library, expected in ORACLE["shapes"][name].items():
        found = {metric: ours[metric] for metric in expected}
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6), library  # they have 32 bits


def test_every_shape_was_measured_by_both() -> None:
    assert list(ORACLE["shapes"]) == list(SHAPES)
    assert all(set(row) == {"monai", "SimpleITK"} for row in ORACLE["shapes"].values())


@each("name", list(LESIONS))
def test_lesions_are_counted_as_panoptica_counts_them(name: str) -> None:
    truth, prediction, _ = LESIONS[name]()
    assert list(OTHER["lesions"][name]) == [str(iou) for iou in IOUS]
    for iou in IOUS:
        found = match_lesions(truth, prediction, iou=iou)
        counts = {"reference": found.reference, "predicted": found.predicted}
        ours = {**counts, "matched": found.matched, "f1": found.f1}
        assert ours == pytest.approx(OTHER["lesions"][name][str(iou)], rel=1e-9), iou


@each("name", list(BOXES))
def test_surface_elements_agree_where_all_or_none_are_near(name: str) -> None:
    """surface-distance weighs elements between voxels by area: a share between 0 and 1 is another number there."""
    ours, expected = _ours(BOXES[name]()), OTHER["elements"][name]
    metrics = ["dice", "hd_mm", *(m for m in expected if expected[m] in (0, 1))]
    assert {m: ours[m] for m in metrics} == pytest.approx(
        {m: expected[m] for m in metrics}, rel=1e-6, abs=1e-6
    )
    shares = {m: v for m, v in expected.items() if m.startswith("nsd") and m not in metrics}
    assert all(0 < ours[m] < 1 for m in shares)


def test_both_kinds_of_agreement_are_among_the_boxes() -> None:
    assert list(OTHER["lesions"]) == list(LESIONS) and list(OTHER["elements"]) == list(BOXES)
    shares = [v for row in OTHER["elements"].values() for m, v in row.items() if m[:3] == "nsd"]
    assert shares.count(0) == 3 and shares.count(1) > 3
