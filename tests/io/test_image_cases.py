from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.image_cases import (
    are_sequences,
    count_channels,
    find_key,
    group_channels,
    group_images,
    image_files,
    without_ending,
)
from tests.helpers.each import each


def group(names: list[str], keys: list[str], n_channels: int = 1) -> dict[str, list[str]]:
    cases = group_images([Path(n) for n in names], keys=keys, n_channels=n_channels)
    return {c.case: list(c.files) for c in cases}


def test_a_plain_file_is_a_case_of_its_own() -> None:
    assert group(["b.nii", "a 1.nii.gz"], []) == {"a 1": [""], "b": [""]}


def test_sequences_of_a_patient_are_one_case() -> None:
    names = ["Case1_C0.nii.gz", "Case1_LGE.nii.gz", "Case1_T2.nii.gz", "Case2_de.nii.gz"]
    for keys in (["Case1", "Case2"], ["Case1_LGE.nii.gz", "Case2_DE"], []):
        assert group(names, keys) == {"Case1": ["C0", "LGE", "T2"], "Case2": ["DE"]}


def channels(names: list[str], keys: list[str], n_channels: int = 1, **more: bool) -> list[str]:
    """The cases by nnU-Net's rule, each with its tags: `a+0000+0001`."""
    paths = [Path("in") / f"{name}.nii.gz" for name in names]
    found = group_channels(paths, keys=keys, n_channels=n_channels, **more)
    return ["+".join(filter(None, (c.case, *c.files))) for c in found]


@each(
    ("names", "keys", "n_channels", "cases"),
    [
        (["sub-01_T2", "knee_C0", "x_LGE"], [], 1, ["knee_C0", "sub-01_T2", "x_LGE"]),
        (["m_T2", "m_LGE"], ["m_T2"], 1, ["m_LGE", "m_T2"]),
        (["a_C0", "a_LGE", "a_T2"], ["a"], 3, ["a_C0", "a_LGE", "a_T2"]),
        (["a_0000", "b"], [], 1, ["a+0000", "b"]),
        (["study_2021", "study_2022"], [], 1, ["study_2021", "study_2022"]),
        (["a_0001", "a_0000"], [], 2, ["a+0000+0001"]),
        (["a_0000", "a_0001", "a_0002"], [], 2, ["a+0000+0001+0002"]),  # `pick` names what is wrong
        (["v_0000", "v_0001"], ["v_0001", "v_0000"], 1, ["v_0000", "v_0001"]),
        (["v_0000", "v_0001"], ["v"], 1, ["v+0000+0001"]),
        (["v_0000", "v_0001"], ["v_0001"], 1, ["v_0000", "v_0001"]),
        (["a_0000", "a_0001"], ["a_0000"], 2, ["a+0000+0001"]),
        (["v_0000_0000", "v_0001_0000"], [], 1, ["v_0000+0000", "v_0001+0000"]),
    ],
)
def test_channels_are_those_that_the_model_has(
    names: list[str], keys: list[str], n_channels: int, cases: list[str]
) -> None:
    assert channels(names, keys, n_channels) == cases


def test_a_folder_that_can_be_read_in_two_ways_is_refused_unless_told() -> None:
    names = ["vol_0000", "vol_0001", "vol_0002"]
    with pytest.raises(
        NNUNetPromptError, match=r"channels of one case vol, .* vol_0000 and vol_0002"
    ) as e:
        channels(names, [])
    assert "--whole-names" in str(e.value) and "\n" not in str(e.value)
    assert channels(names, [], whole_names=True) == names


def test_names_that_look_alike_are_the_same() -> None:
    typed, stored = "M\u00fcller_0000", "Mu\u0308ller_0000"
    assert find_key([typed], stored) == typed and find_key([stored], typed) == stored
    assert find_key([typed, stored], stored) == stored
    assert channels([stored], [typed]) == [stored]
    assert group([f"{stored}.nii.gz"], [typed]) == {stored: [""]}


def test_a_sequence_in_a_name_means_nothing_to_predict() -> None:
    assert find_key(["a"], "a_LGE") == "a"
    assert find_key(["a"], "a_LGE", sequences=False) is None
    assert find_key(["a_LGE"], "a", sequences=False) is None
    assert find_key(["a.nii.gz"], "a", sequences=False) == "a.nii.gz"


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


def pick(names: list[str], n_channels: int) -> dict[str, str]:
    (case,) = group_images([Path(n) for n in names], keys=["a"], n_channels=n_channels)
    return {tag: path.name for tag, path in case.pick(n_channels).items()}


@each("n_channels", [1, 3])
def test_all_sequences_are_picked_and_the_mask_lies_on_lge_before_c0_before_t2(
    n_channels: int,
) -> None:
    names = ["a_T2.nii.gz", "a_C0.nii.gz", "a_lge.nii.gz", "a_DE.nii.gz"]
    expected = {"LGE": names[2], "DE": names[3], "C0": names[1], "T2": names[0]}
    assert list(pick(names, n_channels).items()) == list(expected.items())
    assert list(pick(names[:2], n_channels)) == ["C0", "T2"]
    assert pick(names[:1], n_channels) == {"T2": "a_T2.nii.gz"}


def test_one_image_and_channels() -> None:
    assert pick(["a.nii"], 1) == {"": "a.nii"}
    names = ["a_0001.nii.gz", "a_0000.nii.gz"]
    assert list(pick(names, 2).values()) == names[::-1]
    assert pick(names[1:], 1) == {"0000": "a_0000.nii.gz"}


def test_the_order_in_which_files_give_the_grid() -> None:
    names = ["a_C0.nii.gz", "a_LGE.nii", "a_LGE.nii.gz", "a_T2.nii.gz"]
    (case,) = group_images([Path(n) for n in names], keys=["a"], n_channels=1)
    assert [p.name for p in case.ordered] == [names[1], names[2], names[0], names[3]]
    assert case.first == case.ordered[0]


@each(
    ("names", "count"),
    [
        ([], 1),
        (["a", "b_LGE", "c_0001"], 1),
        (["a_0000", "b"], 1),
        (["a_0000", "b_0000", "b_0001", "b_0002", "c_0000", "c_0002"], 3),
    ],
)
def test_how_many_channels_files_speak_of(names: list[str], count: int) -> None:
    assert count_channels(Path(f"{name}.nii.gz") for name in names) == count


def test_tags_that_are_sequences() -> None:
    assert are_sequences(["LGE"]) and are_sequences({"C0": 1, "T2": 2})
    assert not any(are_sequences(tags) for tags in ([], [""], ["LGE", ""], ["0000", "0001"]))


@each(
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


@each(
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
    with pytest.raises(NNUNetPromptError, match="no such folder"):
        image_files(tmp_path / "images")
    with pytest.raises(NNUNetPromptError, match=r"no \.nii"):
        image_files(tmp_path)
