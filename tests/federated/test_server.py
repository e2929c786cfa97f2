"""The server without network: rounds, averages, who is left out, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import ModelError, OutputError, RefusedError
from nnunet_prompt.federated.exchange import Ask, Reply
from nnunet_prompt.federated.part import Part, layout_json, layout_of, layout_of_json, pack_part
from nnunet_prompt.federated.plan import PRIVATE_ROUND, Rounds, plan_of
from nnunet_prompt.federated.server import SHARED_FILE, STATE_FILE, ServerRequest, serve
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow

SMALL = Part({"a": np.zeros(2, np.float32)}, {})


def reply(site: str, cases: int, *values: float, agreement: str = "same") -> Reply:
    numbers = np.array(values, np.float32)
    return Reply(site, agreement, cases, layout_json(layout_of(SMALL)), numbers, {"shared": 0.5})


class Sites:
    """Sites that add their step to what they are sent; those in `silent` miss the rounds that are named."""

    def __init__(
        self, steps: Mapping[str, tuple[int, float]], silent: Mapping[str, set[int]]
    ) -> None:
        self.steps, self.silent = steps, silent
        self.asked: list[Ask] = []

    def sites(self) -> Sequence[int]:
        return range(len(self.steps))

    def ask(self, ask: Ask, sites: Sequence[int]) -> Sequence[Reply]:
        self.asked.append(ask)
        before = ask.numbers if len(ask.numbers) else np.zeros(2, np.float32)
        return [
            reply(name, cases, *(() if ask.action == "finish" else before + step))
            for name, (cases, step) in self.steps.items()
            if ask.round not in self.silent.get(name, set())
        ]


def request(output: Path, *, rounds: int = 2, min_sites: int = 2) -> ServerRequest:
    return ServerRequest(Rounds(rounds, 5, 3), output, min_sites=min_sites, patience_s=0.05)


def run(sites: Sites, asked: ServerRequest) -> np.ndarray:
    with np.load(serve(sites, asked, sleep=lambda s: None), allow_pickle=False) as found:
        return np.asarray(found["dense a"])


TWO = {"large": (3, 1.0), "small": (1, 5.0)}


def test_rounds_are_averaged_by_cases_and_then_all_finish(tmp_path: Path) -> None:
    sites = Sites(TWO, {})
    assert run(sites, request(tmp_path)).tolist() == [4.0, 4.0]  # (3 * 1 + 1 * 5) / 4 a round
    assert [a.action for a in sites.asked] == ["train", "train", "finish"]
    assert [len(a.numbers) for a in sites.asked] == [0, 2, 2]
    assert sites.asked[0].settings == {
        "rounds": 2,
        "iterations": 5,
        "private-iterations": 3,
        "learning-rate": 3e-3,
        "seed": 0,
    }


def test_bytes_and_dice_are_noted(tmp_path: Path) -> None:
    run(Sites(TWO, {}), request(tmp_path))
    state = json.loads((tmp_path / STATE_FILE).read_text())
    check_form("federation", tmp_path / STATE_FILE)
    about = len(layout_json(layout_of(SMALL)))
    first = {"site": "large", "round": 1, "received": 0, "sent": 8 + about}
    assert state["exchanges"][0] == first and state["exchanges"][2]["received"] == 8
    assert state["history"][0] == {
        "round": 1,
        "dice": {"large": {"shared": 0.5}, "small": {"shared": 0.5}},
        "lost": 0.0,
    }


def test_a_site_that_is_silent_misses_a_round(tmp_path: Path) -> None:
    asked = request(tmp_path, min_sites=1)
    assert run(Sites(TWO, {"small": {2}}), asked).tolist() == [3.0, 3.0]  # 2, then 2 + 1


def test_a_server_that_was_stopped_resumes_behind_its_last_round(tmp_path: Path) -> None:
    whole = run(Sites(TWO, {}), request(tmp_path / "whole", rounds=3))
    stopped = request(tmp_path / "stopped", rounds=3)
    with pytest.raises(RefusedError, match="2 of 3 rounds done: expected answers of 2 sites"):
        run(Sites(TWO, {"small": {3}}), stopped)
    sites = Sites(TWO, {})
    assert run(sites, stopped).tolist() == whole.tolist()
    assert [a.round for a in sites.asked] == [3, 4]
    again = Sites(TWO, {})  # and a federation that is done asks nothing
    assert run(again, stopped).tolist() == whole.tolist() and again.asked == []
    assert sorted(p.name for p in (tmp_path / "stopped").iterdir()) == [
        STATE_FILE,
        SHARED_FILE,
        "shared_round_3.npy",
    ]


def test_a_folder_of_another_federation_is_refused(tmp_path: Path) -> None:
    run(Sites(TWO, {}), request(tmp_path))
    with pytest.raises(OutputError, match="settings"):
        run(Sites(TWO, {}), request(tmp_path, rounds=5))
    (tmp_path / "shared_round_2.npy").write_bytes(b"half")
    with pytest.raises(OutputError, match="not the state of a federation"):
        run(Sites(TWO, {}), request(tmp_path))


class Odd(Sites):
    """Two good sites, and one that answers with `extra`."""

    def __init__(self, extra: Reply) -> None:
        super().__init__(TWO, {})
        self.extra = extra

    def ask(self, ask: Ask, sites: Sequence[int]) -> Sequence[Reply]:
        return [*super().ask(ask, sites), *([self.extra] if ask.action == "train" else [])]


@each(
    "extra, reason",
    [
        (reply("third", 9, 9, 9, agreement="other"), "another base"),
        (reply("third", 9, np.nan, 0), "not finite"),
        (reply("third", 9, 1), "expected 2 numbers"),
        (reply("small", 9, 9, 9), "same name"),
        (reply("third", 0, 9, 9), "positive"),
        (replace(reply("third", 9, 9, 9), layout="{}"), "another base"),
    ],
)
def test_what_does_not_fit_is_left_out(
    extra: Reply, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(Odd(extra), request(tmp_path)).tolist() == [4.0, 4.0]
    assert f"site {extra.site} is left out" in caplog.text and reason in caplog.text


@each("text", ["", "[1]", '[["a", ["x"]]]', '[["a", [-1]]]', '[["a", [99999, 99999]]]', "[" * 9999])
def test_a_layout_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="layout of a part"):
        layout_of_json(text)
    assert layout_of_json(layout_json(layout_of(SMALL))) == layout_of(SMALL)
    assert pack_part(SMALL).size == 2


def test_the_learning_rate_decays_over_the_rounds() -> None:
    plan = Rounds(2, 10, 4, learning_rate=0.1)
    first, last = plan.phase(1), plan.phase(2)
    assert first.learning_rate(0) == 0.1 and last.learning_rates[1] == 0
    assert first.learning_rates[1] == last.learning_rates[0] == pytest.approx(0.1 * 0.5**0.9)
    assert last.learning_rate(5) == pytest.approx(last.learning_rates[0] / 2)
    assert plan.private_phase.round == PRIVATE_ROUND and plan.private_phase.iterations == 4


@each("values", [(0, 1, 0, 0.1), (1, 0, 0, 0.1), (1, 1, -1, 0.1), (1, 1, 0, 0), (1, 1, 0, 1)])
def test_a_plan_that_trains_nothing_is_refused(values: tuple[int, int, int, float]) -> None:
    with pytest.raises(RefusedError, match="federation: expected"):
        Rounds(*values)


def test_a_setting_that_is_missing_is_named() -> None:
    with pytest.raises(RefusedError, match="private-iterations"):
        plan_of({"rounds": 1, "iterations": 1})
