"""Anonymous names, and that they keep their meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.dataset_conversion.care.inspect import Examined, Inspection
from nnunet_prompt.dataset_conversion.care.numbering import anonymous, reserve_names

IMAGE = np.zeros((2, 2, 2))


def examined(name: str, sequence: str | None = None, task: str = "myops") -> Examined:
    case = Case(name, (IMAGE,), sequence=sequence, task=task, source=f"{name}.nii")
    return Examined(Inspection(name), case)


FOUND = [
    examined("Case1001_LGE", "LGE"),
    examined("Case1001_C0", "C0"),
    examined("Case1001", "CT", task="whs"),
    Examined(Inspection("Case1002", left_out="no label map")),
    examined("odd", None, task="whs"),
    *(examined(f"LAt1_{i:03d}", "LGE", task="lascarqs") for i in range(9)),
]


def names(found: list[Examined]) -> dict[str, str]:
    return {e.inspection.case + e.case.task: e.case.case_id for e in found if e.case is not None}


def test_names_tell_a_number_and_the_sequence() -> None:
    found = anonymous(FOUND)
    assert [e.inspection.case for e in found] == [e.inspection.case for e in FOUND]
    assert found[3] is FOUND[3]
    given = names(found)
    assert len(set(given.values())) == len(given) == len(FOUND) - 1
    lge, c0 = given["Case1001_LGEmyops"], given["Case1001_C0myops"]
    assert lge.removesuffix("_LGE") == c0.removesuffix("_C0")  # one number for a scan
    assert given["Case1001whs"].endswith("_CT") and given["oddwhs"].isalnum()
    numbers = {int(n.split("_")[0].removeprefix("case")) for n in given.values()}
    assert numbers == set(range(1, 13))
    assert all(len(n.split("_")[0]) == len("case00001") for n in given.values())


def test_the_same_cases_get_the_same_names_and_neighbours_are_apart() -> None:
    given = names(anonymous(FOUND))
    assert names(anonymous(FOUND[::-1])) == given
    atria = [given[f"LAt1_{i:03d}lascarqs"] for i in range(9)]
    assert atria != sorted(atria)


def test_nothing_to_name() -> None:
    assert anonymous([]) == []


class TestReserve:
    @pytest.fixture(autouse=True)
    def data_set(self, tmp_path: Path) -> None:
        self.target = RawTarget(7, "CARE", tmp_path / "raw")
        self.cases = [e.case for e in anonymous(FOUND) if e.case is not None]

    def image(self) -> None:
        folder = self.target.folder / "imagesTr"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "case00001_0000.nii.gz").touch()

    def test_the_side_file_is_written_first(self) -> None:
        reserve_names(self.target, self.cases)
        known = read_side_file(self.target.folder)
        assert known == {c.case_id: c.side_information() for c in self.cases}

    def test_the_same_cases_go_on(self) -> None:
        reserve_names(self.target, self.cases)
        self.image()
        reserve_names(self.target, self.cases[::-1])

    def test_other_cases_are_refused_once_there_is_an_image(self) -> None:
        reserve_names(self.target, self.cases)
        more = [*self.cases, Case("case00099", (IMAGE,), source="new.nii", task="liqa")]
        other = [replace(self.cases[0], source="other.nii"), *self.cases[1:]]
        self.image()
        before = read_side_file(self.target.folder)
        for cases, said in (
            (more, r"case00099 was unknown, and is liqa new\.nii now"),
            (self.cases[1:], "is unknown now"),
            (other, r"was myops Case1001_LGE\.nii, and is myops other\.nii now"),
        ):
            with pytest.raises(DatasetError, match=said) as caught:
                reserve_names(self.target, cases)
            assert "\n" not in str(caught.value)
            assert read_side_file(self.target.folder) == before

    def test_images_of_which_nothing_is_known_are_refused(self) -> None:
        self.image()
        with pytest.raises(DatasetError, match="was begun with other sources"):
            reserve_names(self.target, self.cases)

    def test_without_images_other_cases_take_over(self) -> None:
        reserve_names(self.target, self.cases)
        reserve_names(self.target, self.cases[1:])
        assert len(read_side_file(self.target.folder)) == len(self.cases) - 1

    def test_an_id_that_is_taken_is_left_to_the_writer(self) -> None:
        (self.target.folder.parent / "Dataset007_Other").mkdir(parents=True)
        reserve_names(self.target, self.cases)
        assert not self.target.folder.exists()

    def test_the_form_is_the_writers(self) -> None:
        reserve_names(self.target, self.cases)
        content = json.loads((self.target.folder / "nnunet_prompt_cases.json").read_text())
        assert set(content) == {"version", "cases"}
