"""Tree or distance map, unions, lesions, and every empty case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation import surfaces
from nnunet_prompt.evaluation.lesions import Lesions, match_lesions
from nnunet_prompt.evaluation.measures import LESION_METRICS, measure_label_maps
from nnunet_prompt.evaluation.names import Names
from nnunet_prompt.evaluation.options import EvaluateOptions, Measures, resolve
from tests.evaluation.oracle_shapes import SHAPES, drawn
from tests.helpers.each import each


def _measure(truth: Any, prediction: Any, measures: Measures, **options: Any) -> dict[Any, Any]:
    given = {"spacing_mm": (10.0, 10.0), "labels": [1], "unions": measures.unions} | options
    return measure_label_maps(np.array(truth), np.array(prediction), measures=measures, **given)


@each("cost", [0, 16, 10**9])
@each("name", list(SHAPES))
def test_tree_and_distance_map_agree_with_all_pairs(
    name: str, cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surfaces, "_VOXELS_PER_POINT", cost)
    truth, prediction, spacing = SHAPES[name]()
    truth, prediction = truth[:20, :20, ...], prediction[:20, :20, ...]
    if not (truth.any() and prediction.any()):
        return
    edges = [m & ~binary_erosion(m) for m in (truth, prediction)]
    pairs = cdist(*(np.argwhere(e) * spacing for e in edges))
    found = surfaces.distances_between(truth, prediction, np.array(spacing))
    assert found.truth_to_prediction == pytest.approx(pairs.min(1), abs=1e-9)
    assert found.prediction_to_truth == pytest.approx(pairs.min(0), abs=1e-9)


def test_overlap_and_volumes_by_hand() -> None:
    found = _measure([[1, 1, 1, 0]], [[0, 1, 1, 1]], Measures((10.0,)))[1]
    assert found.more == {
        "sensitivity": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "abs_volume_error_ml": 0.0,
        "volume_ml": pytest.approx(0.3),  # 10 x 10 of a 2D image, taken as 1 mm thick
        "predicted_volume_ml": pytest.approx(0.3),
        "nsd_10mm": 1.0,
    }


def test_empty_masks() -> None:
    full, empty = [[1, 1], [0, 0]], [[0, 0], [0, 0]]
    measures = Measures((1.0,), lesions=(1,))
    both = _measure(empty, empty, measures)[1]
    assert set(both.more.values()) == {None} and set(LESION_METRICS) < both.more.keys()
    lost, invented = (_measure(*pair, measures)[1].more for pair in ((full, empty), (empty, full)))
    assert (lost["sensitivity"], lost["precision"], lost["nsd_1mm"]) == (0.0, None, 0.0)
    assert (invented["sensitivity"], invented["precision"], invented["nsd_1mm"]) == (None, 0.0, 0.0)
    assert (lost["lesion_f1"], lost["lesions"], lost["predicted_lesions"]) == (0.0, 1.0, 0.0)
    assert lost["abs_volume_error_ml"] == invented["abs_volume_error_ml"] == pytest.approx(0.2)


def test_a_union_is_scored_as_one_structure() -> None:
    measures = Measures((1.0,), {"1+2": (1, 2)}, lesions=("1+2",))
    found = _measure([[1, 2, 2, 0]], [[2, 1, 0, 0]], measures, labels=[1, 2])
    assert list(found) == [1, 2, "1+2"]
    assert (found[1].scores.dice, found["1+2"].scores.dice) == (0.0, pytest.approx(0.8))
    assert found["1+2"].more["lesion_f1"] == 1.0 and "lesion_f1" not in found[1].more


def test_lesions_by_hand() -> None:
    truth = drawn("xx......x ........x xxxx..... .........")
    prediction = drawn("xx....... .......x. ..xxxx... ........x")
    # equal; neighbours by a corner, no overlap; 2 of 6; nothing
    assert match_lesions(truth, prediction, iou=0.3) == Lesions(3, 4, 2)
    assert match_lesions(truth, prediction, iou=0.4) == Lesions(3, 4, 1)
    assert Lesions(3, 4, 2).f1 == pytest.approx(4 / 7)


def test_lesions_that_touch_by_a_corner_are_one() -> None:
    assert match_lesions(drawn("x. .x"), drawn("x. .."), iou=0.5) == Lesions(1, 1, 1)


def test_each_lesion_matches_once_and_the_best_first() -> None:
    truth = drawn("xxxxxxxxxx")
    prediction = drawn("xx.xxxxxxx")
    assert match_lesions(truth, prediction, iou=0.1) == Lesions(1, 2, 1)
    one, two = drawn("xxxxx.xxxxx"), drawn("..xxxxxxxxx")  # one predicted lesion over both
    assert match_lesions(one, two, iou=0.1) == Lesions(2, 1, 1)
    assert np.isnan(match_lesions(drawn(".."), drawn(".."), iou=0.1).f1)


OFFICIAL = Names(
    ({1: "LV", 2: "myo", 3: "scar"}, {500: "LV", 200: "myo", 2221: "scar"}),
    unions=({"myo": (2, 3)}, {"myo": (200, 2221)}),
)


def test_the_unions_of_the_data_set_follow_its_numbering() -> None:
    own = resolve(EvaluateOptions(), OFFICIAL, {1, 2}, None)
    assert (own.unions, own.names) == ({"2+3": (2, 3)}, {"2+3": "whole myo"})
    assert list(resolve(EvaluateOptions(), OFFICIAL, {200, 500}, None).unions) == ["200+2221"]
    assert resolve(EvaluateOptions(), OFFICIAL, {1, 2}, [2]).unions == {}
    assert list(resolve(EvaluateOptions(), OFFICIAL, {1, 2}, [2, 3]).unions) == ["2+3"]


def test_unions_and_lesions_by_value_or_name() -> None:
    options = EvaluateOptions(unions="all=LV+200, scar + LV", lesions="scar,all,2221+500")
    found = resolve(options, OFFICIAL, {500}, None)
    assert found.names == {
        "200+500": "all",
        "500+2221": "scar + LV",
        "200+2221": "whole myo",
    }
    assert found.lesions == (2221, "200+500", "500+2221")


@each(
    ("options", "message"),
    [
        ({"tolerances_mm": []}, "tolerances_mm: expected distances"),
        ({"tolerances_mm": [-1]}, "tolerances_mm: expected distances"),
        ({"tolerances_mm": ["a"]}, "tolerances_mm: expected a finite number"),
        ({"lesion_iou": 0}, "lesion_iou: expected a number above 0"),
        ({"unions": 5}, "unions: expected"),
        ({"unions": "a=1++2"}, "unions: expected label values"),
        ({"unions": "a=1"}, "unions: a: expected two labels"),
        ({"unions": {"a": [1, "no"]}}, "no label is called 'no'"),
        ({"lesions": "1,"}, "lesions: expected label values"),
        ({"lesions": "no"}, "lesions: no label is called 'no'"),
        ({"groups": 5}, "groups: expected a path"),
    ],
)
def test_what_options_refuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message) as error:
        resolve(EvaluateOptions(**options), OFFICIAL, {1}, None)
    assert "\n" not in str(error.value)
