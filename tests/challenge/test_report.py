from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.budget import Budget
from nnunet_prompt.challenge.case_run import Trouble
from nnunet_prompt.challenge.report import Entry, Report, entry_of
from nnunet_prompt.common.errors import NNUNetPromptError
from tests.challenge.folders import SHAPE, BoxFiller, Challenge, save
from tests.helpers.each import each
from tests.helpers.schemas import check_form


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture
def three(tmp_path: Path) -> Challenge:
    return Challenge(tmp_path, ["a", "b", "c"])


def test_it_says_what_became_of_each_case(three: Challenge, tmp_path: Path) -> None:
    seconds = iter(range(1000))
    (three.images / "c.nii.gz").write_bytes(b"no image")
    save(three.output / "a_pred.nii.gz", np.zeros(SHAPE, np.int16))
    path = tmp_path / "logs" / "report.json"
    three.run(BoxFiller(fails_at=1), report=path, budget=Budget(None, lambda: float(next(seconds))))
    content = read(path)
    check_form("submit_report", path)
    assert content["output"] == str(three.output)
    assert content["notes"][0].startswith("prompts.json: ")
    a, b, c = content["cases"].values()
    assert a == {"status": "kept", "seconds": 0.0, "tiles": 0, "troubles": [], "notes": []}
    reason = "RuntimeError: shapes do not match at line 3; its mask is from the prompts alone"
    assert b["status"] == "degraded" and b["seconds"] > 0
    assert b["troubles"] == [{"stage": "prediction", "reason": reason}]
    assert c["status"] == "missing" and [t["stage"] for t in c["troubles"]] == ["image", "image"]
    assert sorted(p.name for p in three.output.iterdir()) == ["a_pred.nii.gz", "b_pred.nii.gz"]


def test_a_restart_remembers_what_was_degraded(three: Challenge, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    first = three.run(BoxFiller(fails_at=1), report=path)
    before = read(path)
    predictor = BoxFiller()
    assert three.run(predictor, report=path) == first
    assert predictor.calls == [] and read(path) == before
    assert three.run(predictor, report=path, overwrite=True) == []
    assert {entry["status"] for entry in read(path)["cases"].values()} == {"done"}


def test_a_report_of_another_folder_or_of_gone_cases_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    Report(path, tmp_path / "one").add({"a": Entry("degraded")})
    assert Report(path, tmp_path / "one").earlier == {"a": Entry("degraded")}
    report = Report(path, tmp_path / "one")
    report.forget({"b", "c"})
    report.add({"b": Entry("done")})
    assert list(read(path)["cases"]) == ["b"]
    assert Report(path, tmp_path / "two").earlier == {}


def test_what_a_killed_run_left_of_it_is_removed(tmp_path: Path) -> None:
    ours, other = tmp_path / ".partial-7-report.json", tmp_path / ".partial-7-plans.json"
    for path in (ours, other):
        path.touch()
    Report(tmp_path / "report.json", tmp_path / "out")
    assert not ours.exists() and other.exists()


def test_prompts_without_an_image_are_in_it(three: Challenge, tmp_path: Path) -> None:
    (three.images / "b.nii.gz").unlink()
    three.run(report=tmp_path / "report.json")
    assert read(tmp_path / "report.json")["cases"]["b"]["status"] == "missing"


@each(
    "content",
    ["{", "[]", "{}", '{"output": "x", "cases": {"a": {"status": "new"}}}', '{"cases": 3}'],
)
def test_another_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plans.json"
    path.write_text(content)
    with pytest.raises(NNUNetPromptError, match="already exists and is not the report of a run"):
        Report(path, tmp_path)
    assert path.read_text() == content


def test_a_place_that_cannot_be_written_to_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NNUNetPromptError, match=r"report\.json: the report cannot be written"):
        Report(tmp_path / "file" / "report.json", tmp_path)


def test_a_report_that_fails_later_costs_no_mask(
    three: Challenge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full(Report):
        def add(self, entries: Mapping[str, Entry]) -> None:
            super().add(entries)
            raise NNUNetPromptError("no space left")

    monkeypatch.setattr("nnunet_prompt.challenge.submit.Report", Full)
    assert three.run(report=tmp_path / "report.json") == []
    assert len(three.written()) == 3
    assert "no space left" in caplog.text


def test_what_an_entry_says() -> None:
    lost = Trouble("a", "image", "gone", has_mask=False)
    assert entry_of([]).status == "done"
    assert entry_of([Trouble("a", "image", "odd")], seconds=1.23456).seconds == 1.235
    assert entry_of([Trouble("a", "image", "odd"), lost]).status == "missing"
