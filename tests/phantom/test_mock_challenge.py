"""MockChallenges: which cases there are, the layout on disk, and runs that stop and go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import ALONE, TASKS
from nnunet_prompt.io.nifti import read_label_volume, read_nifti
from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.mock_challenge import (
    Defect,
    DrawnCase,
    MockChallenge,
    ValSet,
    chosen_centres,
    mock_challenge_for,
    places,
    write_mock_challenge,
)
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.phantom.val_set import ValCase
from tests.helpers.each import each

pytestmark = pytest.mark.slow


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    image = Volume(rng.integers(0, 99, (4, 3, 2)).astype(np.int16), np.eye(4))
    labels = Volume((image.array > 50).astype(np.uint16) * 500, np.eye(4))
    name = f"Case{number}"
    files = {f"{centre}/{name}_image.nii.gz": image, f"{centre}/{name}_label.nii.gz": labels}
    return DrawnCase(name, centre, {"LGE": image, "T2": image}, labels, files)


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    case = draw(rng, centre, 1)
    name = "".join(f"{series}{number}" for series, number in numbers.items())
    return ValCase(name, {f"{name}_image.nii.gz": case.labels}, {f"{name}.nii.gz": case.labels})


def table(images: Sequence[str]) -> dict[str, bytes]:
    return {"all/cases.txt": " ".join(images).encode()}


SMALL = MockChallenge(
    "whs",
    {"A": 20, "B": 10, "E": 1},
    ("A", "F"),
    draw,
    ValSet(("B", "V"), draw_val, tables=table),
    (
        Defect("only E", defects.stored_as("_label", "float32"), "", ("E",)),
        Defect("any", defects.stored_as("_label", "float64")),
        Defect("other", defects.uncompressed("_label")),
    ),
)


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_one_case_of_each_centre_and_then_their_shares() -> None:
    found = places(SMALL, 9, centres=["A", "B", "E"])
    assert "".join(p.centre for p in found) == "ABEAABAAB"  # two of A for one of B
    assert [p.number for p in found if p.centre == "A"] == [1, 2, 3, 4, 5]
    assert found[3].key == "A 2" and found[:4] == places(SMALL, 4, centres=["A", "B", "E"])
    assert {p.centre for p in places(SMALL, 5, centres=["B"])} == {"B"}
    assert all(p.defect is None for p in found)


def test_each_defect_is_dealt_once_to_a_case_that_can_have_it() -> None:
    found = places(SMALL, 9, centres=["A", "B", "E"], defects=True)
    assert {p.key: p.defect.name for p in found if p.defect} == {
        "A 1": "any",
        "B 1": "other",
        "E 1": "only E",
    }
    assert found[:2] == places(SMALL, 2, centres=["A", "B", "E"], defects=True)


def test_the_folder(tmp_path: Path) -> None:
    folder = write_mock_challenge(SMALL, tmp_path / "out", 3, seed=7)
    assert sorted(contents(folder)) == [
        "hidden_labels/Case ID1.nii.gz",
        "hidden_labels/Case ID2.nii.gz",
        "hidden_labels_val/1.nii.gz",
        "hidden_labels_val/2.nii.gz",
        "mock_challenge.json",
        "test/images/Case ID1_LGE.nii.gz",
        "test/images/Case ID1_T2.nii.gz",
        "test/images/Case ID2_LGE.nii.gz",
        "test/images/Case ID2_T2.nii.gz",
        "test/prompts.json",
        "train/A/Case1_image.nii.gz",
        "train/A/Case1_label.nii.gz",
        "train/B/Case1_image.nii.gz",
        "train/B/Case1_label.nii.gz",
        "train/E/Case1_image.nii.gz",
        "train/E/Case1_label.nii.gz",
        "val/1_image.nii.gz",
        "val/2_image.nii.gz",
        "val/all/cases.txt",
    ]
    record = json.loads((folder / "mock_challenge.json").read_text())
    assert record["complete"] and record["seed"] == 7 and not record["defects"]
    assert record["centres"] == {"train": ["A", "B", "E"], "val": ["B", "V"], "test": ["A", "F"]}
    assert record["cases"]["val V 1"] == {
        "case": "2",
        "centre": "V",
        "files": ["val/2_image.nii.gz", "hidden_labels_val/2.nii.gz"],
    }
    assert record["cases"]["test F 1"] == {
        "case": "Case ID2",
        "centre": "F",
        "files": [
            "test/images/Case ID2_LGE.nii.gz",
            "test/images/Case ID2_T2.nii.gz",
            "hidden_labels/Case ID2.nii.gz",
        ],
    }
    assert list(json.loads((folder / "test/prompts.json").read_text())) == ["Case ID1", "Case ID2"]
    for case in ("A", "B", "E"):
        labels = read_label_volume(folder / f"train/{case}/Case1_label.nii.gz").array
        image = read_nifti(folder / f"train/{case}/Case1_image.nii.gz").array
        np.testing.assert_array_equal(labels, 500 * (image > 50))


def test_a_case_depends_on_the_seed_and_not_on_the_others(tmp_path: Path) -> None:
    two = contents(write_mock_challenge(SMALL, tmp_path / "two", 2, seed=1))
    nine = contents(write_mock_challenge(SMALL, tmp_path / "nine", 9, seed=1))
    own = contents(write_mock_challenge(SMALL, tmp_path / "own", 1, seed=1, centres=["B", "V"]))
    other = contents(write_mock_challenge(SMALL, tmp_path / "other", 2, seed=2))
    images = [name for name in two if name.endswith(".nii.gz")]
    assert all(two[name] == nine[name] for name in images)
    assert all(two[name] != other[name] for name in images)
    assert {n for n in own if n.startswith("train/")} == {n for n in two if n.startswith("train/B")}
    assert all(own[name] == two[name] for name in images if not name.startswith("train/A"))
    assert two["train/A/Case1_image.nii.gz"] != two["train/B/Case1_image.nii.gz"]
    assert len([n for n in nine if n.startswith("hidden_labels/")]) == 3  # one for four, at least 2


def test_defects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = contents(write_mock_challenge(SMALL, tmp_path / "plain", 3))
    assert "note:" not in caplog.text
    moved = replace(SMALL, rename=lambda path: "new" / path)
    assert contents(write_mock_challenge(moved, tmp_path / "unmoved", 3)) == plain
    names = {n for n in contents(write_mock_challenge(moved, tmp_path / "moved", 3, defects=True))}
    assert {n for n in plain if n.startswith("train/A/")} <= {
        n.replace("train/new/", "train/") for n in names if n.startswith("train/new/")
    }
    assert not any(n.startswith("train/A/") for n in names) and "val/1_image.nii.gz" in names
    folder = write_mock_challenge(SMALL, tmp_path / "odd", 3, defects=True)
    assert "note:" not in caplog.text
    odd = contents(folder)
    assert {n for n in odd if odd[n] != plain.get(n)} == {
        "mock_challenge.json",
        "train/A/Case1_label.nii.gz",
        "train/B/Case1_label.nii",
        "train/E/Case1_label.nii.gz",
    }
    record = json.loads((folder / "mock_challenge.json").read_text())
    assert record["cases"]["train E 1"]["defect"] == "only E"
    write_mock_challenge(SMALL, tmp_path / "few", 1, defects=True, centres=["A"])
    assert "1 cases of these centres do not show only E, other" in caplog.text


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    def stopped(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
        if centre == "E":
            raise KeyboardInterrupt
        return draw(rng, centre, number)

    with pytest.raises(KeyboardInterrupt):
        write_mock_challenge(replace(SMALL, draw=stopped), tmp_path, 5)
    assert json.loads((tmp_path / "mock_challenge.json").read_text())["complete"] is False
    kept = tmp_path / "train/A/Case1_image.nii.gz"
    before = kept.stat().st_mtime_ns

    def others(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
        assert (centre, number) != ("B", 1)  # finished cases are not drawn again
        return draw(rng, centre, number)

    write_mock_challenge(replace(SMALL, draw=others), tmp_path, 5)
    assert kept.stat().st_mtime_ns == before
    whole = contents(write_mock_challenge(SMALL, tmp_path / "at_once", 5))
    stopped_run = contents(tmp_path)
    assert all(stopped_run[name] == content for name, content in whole.items())


def test_more_cases_later(tmp_path: Path) -> None:
    few = contents(write_mock_challenge(SMALL, tmp_path, 2))
    more = contents(write_mock_challenge(SMALL, tmp_path, 6))
    assert all(more[n] == few[n] for n in few if n.endswith(".nii.gz")) and len(more) > len(few)


def test_tables_list_what_is_there(tmp_path: Path) -> None:
    for cases, count in ((2, 2), (9, 3), (2, 3)):
        folder = write_mock_challenge(SMALL, tmp_path, cases)
        listed = (folder / "val/all/cases.txt").read_text().split()
        assert listed == [f"{i + 1}_image.nii.gz" for i in range(count)]


def test_each_part_takes_those_centres_that_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        lines = [line for line in caplog.messages if line.startswith("note:")]
        caplog.clear()
        return lines

    assert chosen_centres(SMALL, ["V", "F", "A", "B"]) == {
        "train": ["A", "B"],
        "val": ["B", "V"],
        "test": ["A", "F"],
    }
    write_mock_challenge(SMALL, tmp_path / "three", 1, centres=["A", "V", "F"])
    assert not told()
    folder = write_mock_challenge(SMALL, tmp_path / "tested", 3, centres=["F"])
    assert told() == [
        "note: whs has no training cases of centre F: they are of A, B, E",
        "note: whs has no validation cases of centre F: they are of B, V",
    ]
    cases = json.loads((folder / "mock_challenge.json").read_text())["cases"]
    assert list(cases) == [
        *("train A 1", "train B 1", "train E 1", "val B 1", "val V 1", "test F 1", "test F 2")
    ]
    write_mock_challenge(SMALL, tmp_path / "trained", 1, centres=["E"])
    assert [line.split()[4] for line in told()] == ["validation", "test"]


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="0 cases asked for, expected at least one"):
        write_mock_challenge(SMALL, tmp_path, 0)
    with pytest.raises(
        DatasetError, match=r"whs has no cases of centre 'C', expected some of A, B, E, F, V$"
    ):
        write_mock_challenge(SMALL, tmp_path, 2, centres=["A", "C"])
    assert not list(tmp_path.iterdir())
    write_mock_challenge(SMALL, tmp_path, 1)
    with pytest.raises(DatasetError, match="seed is 0, expected 1: choose another folder"):
        write_mock_challenge(SMALL, tmp_path, 1, seed=1)
    with pytest.raises(DatasetError, match="defects is False, expected True"):
        write_mock_challenge(SMALL, tmp_path, 1, defects=True)
    with pytest.raises(DatasetError, match=r"centres is .* choose another folder"):
        write_mock_challenge(SMALL, tmp_path, 1, centres=["A"])


@each("task", [*TASKS, *ALONE])
def test_every_task_is_a_mock_challenge(task: str) -> None:
    challenge = mock_challenge_for(task)
    assert challenge.task == task and challenge.centres and challenge.test_centres
    assert challenge.val.centres
    names = [d.name for d in challenge.defects]
    assert len(set(names)) == len(names) > 3
    assert all(set(d.centres) <= set(challenge.centres) for d in challenge.defects)
