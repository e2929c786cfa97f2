"""Tiles are counted in plain words."""

from __future__ import annotations

from nnunet_prompt.inference.predict_case import Tally, in_short
from tests.helpers.each import each

END = " where a mask touches the border of the first ones)"


def test_a_case() -> None:
    tally = Tally({500: 3, 200: 1, 7: 0}, {500: 2, 200: 0})
    assert str(tally) == "label 500: 3 tiles (2 of them added); label 200: 1 tile; label 7: 0 tiles"
    assert str(Tally({}, {})) == "no label is prompted, so no tile was run"


@each(
    ("cases", "said"),
    [
        ([], "ran 0 tiles for 0 labels in 0 cases"),
        ([Tally({1: 1}, {1: 0})], "ran 1 tile for 1 label in 1 case"),
        (
            [Tally({1: 2, 2: 1}, {1: 1, 2: 0}), Tally({1: 4}, {1: 2})],
            f"ran 7 tiles for 3 labels in 2 cases (3 of them added{END}",
        ),
    ],
)
def test_all_cases(cases: list[Tally], said: str) -> None:
    assert in_short(cases) == said
