"""A loop of prompts, masks and scores, with a session that does as it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.interact.play import LabelCase, Play, play_label
from nnunet_prompt.evaluation.interact.summary import draw_curves, summarise
from nnunet_prompt.prompts.types import Point

TARGET = np.zeros((6, 6, 2), bool)
TARGET[0:4, 0:4] = True
MM = (1.0, 1.0, 1.0)


class Columns:
    """A session whose mask is one more column of the target for each positive click, beginning with two."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.log: list[list[Any]] = []

    def reset(self) -> None:
        self.given = []

    def add(self, prompt: Any, label: int = 1) -> None:
        assert label == 500
        self.given.append(prompt)

    def predict(self) -> Any:
        self.log.append(list(self.given))
        clicks = sum(isinstance(p, Point) for p in self.given)
        mask = np.zeros(TARGET.shape, np.int32)
        mask[: 1 + clicks] = np.where(TARGET, 500, 0)[: 1 + clicks]
        return mask


def case(start: Any = None) -> LabelCase:
    return LabelCase("a", 500, TARGET, start, MM)


def test_scores_after_each_interaction() -> None:
    session = Columns()
    rows = play_label(session, case(), Play(interactions=5))
    assert [r.interaction for r in rows] == [0, 1, 2, 3, 4]
    assert [r.dice for r in rows] == pytest.approx([2 / 3, 6 / 7, 1, 1, 1])
    assert [r.prompts for r in rows] == [1, 2, 3, 3, 3]  # nothing is left to correct
    assert rows[-1].hd95_mm == 0 and rows[-1].nsd == 1
    assert session.given == [] and len(session.log) == 3


def test_an_automatic_mask_is_refined() -> None:
    session = Columns()
    start = np.zeros_like(TARGET)
    start[0] = TARGET[0]
    rows = play_label(session, case(start), Play(interactions=2))
    assert [r.interaction for r in rows] == [-1, 0, 1]
    assert rows[0].dice == pytest.approx(0.4) and rows[0].prompts == 0
    first = session.log[0]
    assert first[0] is start and isinstance(first[1], Point)


def test_the_mask_is_given_back_where_asked_for() -> None:
    session = Columns()
    play_label(session, case(), Play(interactions=2, feedback=True))
    first, second = session.log
    assert len(first) == 1  # there is no mask yet
    assert np.array_equal(second[1], np.arange(6)[:, None, None] * np.ones((6, 6, 2)) < 2) or (
        second[1].sum() == TARGET[:2].sum()
    )


def test_a_summary_by_hand() -> None:
    rows = [
        {"case": c, "label": 1, "interaction": k, "dice": d, "hd95_mm": 1.0, "nsd": d}
        for c, dice in (("a", (0.8, 0.86, 0.92)), ("b", (0.4, 0.5, 0.6)))
        for k, d in enumerate(dice)
    ]
    one = summarise(rows)["labels"]["1"]
    assert [p["dice"] for p in one["curve"]] == pytest.approx([0.6, 0.68, 0.76])
    assert one["auc"]["dice"] == pytest.approx(0.64 + 0.72)
    assert one["auc_normalised"]["dice"] == pytest.approx(0.68)
    assert one["interactions_to"] == {"0.85": 2.0, "0.90": 3.0}
    assert one["failures"] == {"0.85": 1, "0.90": 1}
    assert one["n"] == 2


def test_an_automatic_mask_stays_out_of_the_area() -> None:
    rows = [
        {"case": "a", "label": 1, "interaction": k, "dice": d, "hd95_mm": None, "nsd": d}
        for k, d in ((-1, 0.1), (0, 0.5), (1, 0.7))
    ]
    one = summarise(rows)["all"]
    assert one["auc"]["dice"] == pytest.approx(0.6) and len(one["curve"]) == 3
    assert one["curve"][0]["hd95_mm"] is None


def test_the_curves_are_drawn(tmp_path: Any) -> None:
    rows = [
        {"case": "a", "label": k, "interaction": i, "dice": 0.5, "hd95_mm": None, "nsd": None}
        for k in (1, 2)
        for i in range(3)
    ]
    draw_curves(summarise(rows), {1: "LV"}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
