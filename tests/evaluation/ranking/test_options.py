from __future__ import annotations

from typing import Any

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.ranking.options import SCHEMES, RankOptions
from tests.helpers.each import each


@each(
    ("scheme", "weights"),
    [
        ("general", {"dice": 1, "hd_mm": 1}),
        ("tfm4media", {"dice": 1}),
        ("care-cardiac", {"dice": 1, "hd_mm": 1}),
    ],
)
def test_the_weights_of_a_scheme(scheme: str, weights: dict[str, float]) -> None:
    assert RankOptions(scheme).weights == weights


def test_short_names_and_weights_of_0() -> None:
    given = {"dice": 0.4, "hd": 0.4, "hd95": 0, "time": 0.2}
    assert RankOptions(weights=given).weights == {"dice": 0.4, "hd_mm": 0.4, "time": 0.2}


@each(
    ("given", "message"),
    [
        ({"scheme": "lottery"}, f"scheme: expected {' or '.join(SCHEMES)}, found 'lottery'"),
        ({"weights": {"dice": -1}}, "weights: expected a weight from 0 on.*found dice=-1"),
        ({"weights": {"dice": "1"}}, "weights: dice: expected a finite number"),
        ({"weights": {"dice": float("nan")}}, "weights: dice: expected a finite number"),
        ({"weights": {"dice": 0}}, "found none above 0"),
        ({"weights": {"hd": 1, "hd_mm": 1}}, "found hd_mm=1"),
        ({"weights": ["dice"]}, "weights: expected a weight from 0 on"),
        ({"samples": 0}, "samples: expected a whole number from 1 on"),
        ({"seed": -1}, "seed: expected a whole number from 0 on"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"published": "no"}, "published: expected True or False"),
        ({"seen": ("A", "B"), "unseen": ("b",)}, "both name centre 'b'"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        RankOptions(**given)
