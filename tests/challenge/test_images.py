from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.challenge.images import find_key, group_images, image_files, without_ending
from nnunet_prompt.errors import ImageError, PromptError


def group(names: list[str], keys: list[str], n_channels: int = 1) -> dict[str, list[str]]:
    cases = group_images([Path(n) for n in names], keys=keys, n_channels=n_channels)
    return {c.case: list(c.files) for c in cases}


def test_a_plain_file_is_a_case_of_its_own() -> None:
    assert group(["b.nii", "a 1.nii.gz"], []) == {"a 1": [""], "b": [""]}


def test_sequences_of_a_patient_are_one_case() -> None:
    names = ["Case1_C0.nii.gz", "Case1_LGE.nii.gz", "Case1_T2.nii.gz", "Case2_de.nii.gz"]
    for keys in (["Case1", "Case2"], ["Case1_LGE.nii.gz", "Case2_DE"], []):
        assert group(names, keys) == {"Case1": ["C0", "LGE", "T2"], "Case2": ["DE"]}


def test_sequences_are_cases_of_their_own_where_nothing_is_prompted() -> None:
    files = [Path("Case7_C0.nii.gz"), Path("Case7_LGE.nii.gz")]
    found = group_images(files, keys=(), n_channels=1, sequences=False)
    assert [c.case for c in found] == ["Case7_C0", "Case7_LGE"]


def test_sequences_that_are_prompted_one_by_one_are_cases() -> None:
    names = ["Case1_C0.nii.gz", "Case1_LGE_0000.nii.gz"]
    assert group(names, ["Case1_C0", "Case1_LGE"]) == {"Case1_C0": [""], "Case1_LGE": ["0000"]}


def test_channels_follow_nnunet() -> None:
    names = ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert group(names, ["a"], 2) == {"a": ["0000", "0001"]}
    assert group(names, [], 2) == {"a": ["0000", "0001"]}


def test_four_digits_that_the_prompts_name_are_no_channel() -> None:
    names = ["heart_0000.nii.gz", "heart_0001.nii.gz"]
    assert list(group(names, ["heart_0000", "heart_0001.nii.gz"])) == ["heart_0000", "heart_0001"]
    assert list(group(names[1:], [])) == ["heart_0001"]


def pick(names: list[str], n_channels: int) -> tuple[list[str], str | None]:
    (case,) = group_images([Path(n) for n in names], keys=["a"], n_channels=n_channels)
    paths, note = case.pick(n_channels)
    return [p.name for p in paths], note


def test_a_model_of_one_channel_takes_lge_before_c0_before_t2_and_says_so() -> None:
    names = ["a_T2.nii.gz", "a_C0.nii.gz", "a_LGE.nii.gz"]
    paths, note = pick(names, 1)
    assert paths == ["a_LGE.nii.gz"]
    assert note is not None and "only a_LGE.nii.gz is used" in note
    assert pick(names[:2], 1)[0] == ["a_C0.nii.gz"]
    assert pick(names[:1], 1) == (["a_T2.nii.gz"], None)


def test_channels_come_in_order() -> None:
    assert pick(["a_0001.nii.gz", "a_0000.nii.gz"], 2)[0] == ["a_0000.nii.gz", "a_0001.nii.gz"]


@pytest.mark.parametrize(
    ("names", "n_channels"),
    [
        (["a.nii.gz"], 2),
        (["a_0000.nii.gz"], 2),
        (["a_0000.nii.gz", "a_0001.nii.gz"], 1),
        (["a_0000.nii.gz", "a.nii.gz"], 1),
        (["a_C0.nii.gz", "a.nii.gz"], 1),
        (["a_C0.nii.gz", "a_LGE.nii.gz"], 2),
        (["a.nii", "a.nii.gz"], 1),
    ],
)
def test_files_that_do_not_fit_the_model_are_named(names: list[str], n_channels: int) -> None:
    with pytest.raises(ImageError) as error:
        pick(names, n_channels)
    assert all(name in str(error.value) for name in names)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "case", "key"),
    [
        (["a", "a.nii.gz"], "a", "a"),
        (["a.nii.gz"], "a", "a.nii.gz"),
        (["a_LGE.nii.gz"], "a", "a_LGE.nii.gz"),
        (["a"], "a_LGE", "a"),
        (["a_C0"], "a_LGE", None),  # prompts of another sequence are not taken silently
        (["a_C0", "a_T2"], "a", None),
        (["a1"], "a", None),
        ([], "a", None),
    ],
)
def test_find_key(keys: list[str], case: str, key: str | None) -> None:
    assert find_key(keys, case) == key


def test_without_ending() -> None:
    names = ["a.nii.gz", "a.NII", "a.b", ".nii.gz"]
    assert [without_ending(n) for n in names] == ["a", "a", "a.b", ".nii.gz"]


def test_image_files_skips_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nii", "._a.nii", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in image_files(tmp_path)] == ["a.nii", "b.nii.gz"]


def test_image_files_needs_a_folder_with_images(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no such folder"):
        image_files(tmp_path / "images")
    with pytest.raises(PromptError, match=r"no \.nii"):
        image_files(tmp_path)
