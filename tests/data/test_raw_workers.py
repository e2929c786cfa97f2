"""The writer of raw data with several cases at once: the same files, the same messages, nothing half-done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data import raw_case
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget, write_raw_dataset
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.threads import WORKERS_VARIABLE
from tests.helpers.each import each

AFFINE = np.diag([1.5, 1.25, 8.0, 1.0])
TABLE = StructureTable((Structure("LV", 1, (1,), 500),))
IMAGE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
LABEL = (IMAGE > 10).astype(np.uint8)
WORKERS = ("1", "2", "5")


def cases(count: int = 12) -> list[Case]:
    return [
        Case(f"c{k}", (IMAGE + k / 2,), LABEL, affine=AFFINE, patient=f"p{k}", source=f"{k}.nii")
        for k in range(count)
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_files_do_not_depend_on_the_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for count in WORKERS:
        monkeypatch.setenv(WORKERS_VARIABLE, count)
        target = RawTarget(1, "Heart", tmp_path / count)
        folder = write_raw_dataset(
            cases(), target, table=TABLE, test_cases=[Case("t", (IMAGE,), affine=AFFINE)]
        )
        seen.append(contents(folder))
    assert seen[0] == seen[1] == seen[2]
    side = json.loads(seen[0]["nnunet_prompt_cases.json"])
    assert list(side["cases"]) == [*(f"c{k}" for k in range(12)), "t"]


@each("count", WORKERS)
def test_the_first_error_in_the_order_of_the_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, count)
    some = cases()
    some[3] = Case("c3", (tmp_path / "gone.nii",), LABEL)
    some[4] = Case("c4", (IMAGE,), LABEL + 5, affine=AFFINE)
    some[5] = Case("c5", ())  # found out before its turn to be written
    target = RawTarget(1, "Heart", tmp_path)
    told: list[str] = []
    with pytest.raises(ImageError, match=r"gone\.nii: no such file"):
        write_raw_dataset(some, target, table=TABLE, on_written=lambda case, _: told.append(case))
    assert told == ["c0", "c1", "c2"]
    assert not (target.folder / "dataset.json").exists()
    before = {name: (target.folder / name).stat().st_mtime_ns for name in contents(target.folder)}
    assert {f"imagesTr/{c}_0000.nii.gz" for c in told} <= set(before)
    # what was finished stays, and a rerun goes on
    write_raw_dataset(cases(), target, table=TABLE)
    assert all((target.folder / n).stat().st_mtime_ns == t for n, t in before.items())


def test_a_data_set_that_grows_is_not_finished_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    target = RawTarget(1, "Heart", tmp_path)
    done = write_raw_dataset(cases(2), target, table=TABLE) / "dataset.json"
    first = done.read_bytes()

    def stopped() -> Iterator[Case]:
        yield from cases(3)
        raise KeyboardInterrupt

    def refused() -> list[Case]:
        return [*cases(2), Case("c2", (IMAGE,), LABEL + 5, affine=AFFINE)]

    with pytest.raises(DatasetError, match="the label map holds 6"):
        write_raw_dataset(refused(), target, table=TABLE)
    assert done.read_bytes() == first  # nothing was added
    with pytest.raises(KeyboardInterrupt):
        write_raw_dataset(stopped(), target, table=TABLE)
    assert not done.exists()  # it would not tell of the third case
    write_raw_dataset(cases(3), target, table=TABLE)
    assert json.loads(done.read_bytes())["numTraining"] == 3


@each("count", WORKERS)
def test_it_is_told_of_all_cases_before_the_data_set_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, count)
    told: list[Any] = []

    def complete(folder: Path) -> None:
        told.append(sorted(p.name for p in folder.iterdir()))

    target = RawTarget(1, "Heart", tmp_path)
    write_raw_dataset(
        cases(),
        target,
        table=TABLE,
        on_written=lambda *said: told.append(said),
        on_complete=complete,
    )
    assert told == [
        *((f"c{k}", 0) for k in range(12)),
        ["imagesTr", "labelsTr", "nnunet_prompt_cases.json"],
    ]


def test_the_image_of_a_stopped_case_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at Ctrl-C while the label map of a case is being written."""
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    written: list[str] = []
    real = raw_case.save_canonical

    def stop_at_second(path: Path, *args: Any) -> None:
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path.name)
        real(path, *args)

    monkeypatch.setattr(raw_case, "save_canonical", stop_at_second)
    target = RawTarget(1, "Heart", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_raw_dataset(cases(2), target, table=TABLE)
    assert list(contents(target.folder)) == ["labelsTr/c0.nii.gz"]
    monkeypatch.undo()
    again = RawTarget(1, "Heart", tmp_path / "again")
    assert contents(write_raw_dataset(cases(2), target, table=TABLE)) == contents(
        write_raw_dataset(cases(2), again, table=TABLE)
    )


class Rare:
    """A volume that is made when it is needed, and counts how many are needed at once."""

    held: list[int]

    def load(self) -> NiftiVolume:
        self.held.append(1)
        return NiftiVolume(Path("rare"), IMAGE.astype(np.int16), AFFINE, None, IMAGE.shape)


def test_cases_are_taken_as_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, "2")
    Rare.held = []
    ahead = []

    def some() -> Iterator[Case]:
        for k in range(30):
            ahead.append(k - len(written))
            yield Case(f"c{k}", (Rare(),), LABEL, affine=AFFINE)

    written: list[str] = []
    write_raw_dataset(
        some(),
        RawTarget(1, "Heart", tmp_path),
        table=TABLE,
        on_written=lambda case, _: written.append(case),
    )
    assert len(Rare.held) == 30 and max(ahead) <= 4
