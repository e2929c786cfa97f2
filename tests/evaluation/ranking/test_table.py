from __future__ import annotations

import io

from rich.console import Console

from nnunet_prompt.evaluation.ranking.board import Leaderboard, rank_evaluations
from nnunet_prompt.evaluation.ranking.groups import CaseInfo
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.table import notes_of, tables_of
from tests.evaluation.ranking.scored import evaluation


def _printed(found: Leaderboard) -> str:
    console = Console(file=io.StringIO(), width=120)
    for table in tables_of(found):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(" ".join(line.split()) for line in console.file.getvalue().splitlines())


def test_places_values_and_ranks() -> None:
    scores = {"[bold]": 0.9, "B": 0.8}
    teams = {
        team: evaluation(
            {f"c{k}": {500: (dice - k / 100, 9.0 if team == "B" else 8.0)} for k in range(8)},
            {500: "LV"},
            missing=["c3"] if team == "B" else [],
        )
        for team, dice in scores.items()
    }
    found = rank_evaluations(teams, None, {"B": 2.5}, RankOptions(samples=20))
    text = _printed(found)
    assert "place team score 95% first seconds LV dice LV hd_mm" in text
    assert "1 [bold] 1.00 1 100% - 0.865 (1) 8.0 (1)" in text
    assert "2 B 2.00 2 0% 2.500 0.765 (2) 9.0 (2)" in text
    notes = list(notes_of(found))
    assert notes[0].startswith("2 of 2 differences between two teams are significant")
    # eight differences, all of one size: z = 36 / 2 / sqrt(8 * 9 * 17 / 24 - (512 - 8) / 48)
    assert notes[1:4] == [
        "  LV dice: [bold] is better than B, p 0.0047",
        "  LV hd_mm: [bold] is better than B, p 0.0047",
        "B: 1 of 8 cases scored as empty masks",
    ]


def test_published_rows_are_marked() -> None:
    rows = {"h": {500: (0.85, 30.0)}}
    found = rank_evaluations(
        {"ours": evaluation(rows)},
        {"h": CaseInfo("whs", "G")},
        None,
        RankOptions("care-cardiac", samples=20),
    )
    text = _printed(found)
    assert "Lb4: whole heart structures, unseen centres" in text
    assert "3 ours 0.8500 30.00 evaluated here" in text
    assert "4 Space 0.8179 26.94 published: track1.md" in text
    other = "published: leaderboard.md, which contradicts the page of the track"
    assert f"- Space 0.8704 20.08 {other}" in text
