"""Paraphrases by a bank of vectors: nearest structure, thresholds, rivals, and files that are none."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.data.word_bank import find_bank, find_phrase, read_word_bank
from tests.helpers.each import each

pytestmark = pytest.mark.slow

STRUCTURES: dict[str, tuple[str, ...]] = {"LV": (), "RV": (), "spleen": ()}
# directions in a plane, in degrees: cosines are those of their differences
BANK = {
    "left ventricle": 0,
    "RV": 60,
    "spleen": 180,
    "urinary bladder": 270,  # known anatomy that the model does not have
    "main pumping chamber": 10,
    "whatever beats": 31,  # between both
    "something near the bladder": 265,
    "far out": 118,
    "Milz": 179,
    "splenic tumour": 181,
    "renal lump": 91,
}


def write(path: Path, bank: dict[str, float] = BANK, **more: Any) -> Path:
    angles = np.deg2rad(list(bank.values()))
    vectors = 3 * np.stack([np.cos(angles), np.sin(angles)], 1)  # lengths do not count
    arrays = {"labels": np.array(list(bank)), "vectors": vectors.astype(np.float16), **more}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@each(
    "phrase, name",
    [
        ("main pumping chamber", "LV"),
        ("  MAIN  Pumping_chamber", "LV"),
        ("Milz", "spleen"),
        ("right ventricular cavity", "RV"),
    ],
    ids=["near one", "however it is written", "another language", "an alias needs no bank"],
)
def test_what_is_found(tmp_path: Path, phrase: str, name: str) -> None:
    assert find_phrase(phrase, STRUCTURES, read_word_bank(write(tmp_path / "a.npz"))).name == name


@each(
    "phrase, line",
    [
        ("cheese", r"not in a\.npz either"),
        ("whatever beats", r"could be 'RV' or 'LV' by a\.npz"),
        ("far out", r"nearest to 'RV', with a cosine of 0\.53, below 0\.7"),
        ("something near the bladder", "it means 'urinary bladder'"),
        ("splenic tumour", "no structure .splenic tumour."),
    ],
    ids=["not in it", "two as near", "far from all", "nearest to another organ", "of a structure"],
)
def test_what_is_refused(tmp_path: Path, phrase: str, line: str) -> None:
    with pytest.raises(DatasetError, match=line) as error:
        find_phrase(phrase, STRUCTURES, read_word_bank(write(tmp_path / "a.npz")))
    assert "\n" not in str(error.value)


def test_without_a_bank_they_are_unknown() -> None:
    with pytest.raises(DatasetError, match="no structure 'main pumping chamber'"):
        find_phrase("main pumping chamber", STRUCTURES, None)


def test_the_bank_may_state_what_phrases_mean(tmp_path: Path) -> None:
    stated = {"renal lump": "kidney tumour", "whatever beats": "right ventricle"}
    structures = np.array([stated.get(label, "") for label in BANK])
    bank = read_word_bank(write(tmp_path / "a.npz", structures=structures))
    assert find_phrase("whatever beats", STRUCTURES, bank).name == "RV"
    with pytest.raises(DatasetError, match=r"'renal lump': by a\.npz it means 'kidney tumour'"):
        find_phrase("renal lump", STRUCTURES, bank)


def test_the_bank_may_state_its_threshold_and_margin(tmp_path: Path) -> None:
    bank = read_word_bank(write(tmp_path / "a.npz", threshold=0.4, margin=0.01))
    assert find_phrase("whatever beats", STRUCTURES, bank).name == "RV"  # 0.88 and 0.86
    assert (bank.threshold, bank.margin) == (0.4, 0.01)


def test_a_match_is_logged_with_its_evidence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = read_word_bank(write(tmp_path / "logged.npz"))
    table = StructureTable(
        (Structure("LV", 1, (1,), 500), Structure("RV", 2, (2,), 600)), bank=bank
    )
    with caplog.at_level(logging.INFO, "nnunet_prompt"):
        assert table.find("main pumping chamber").name == "LV"
    (line,) = caplog.messages
    assert "taken as LV (logged.npz: nearest to 'left ventricle' with a cosine of 0.98" in line
    assert "the next structure has 0.64" in line


def test_a_bank_travels_to_workers(tmp_path: Path) -> None:
    bank = pickle.loads(pickle.dumps(read_word_bank(write(tmp_path / "a.npz"))))
    assert find_phrase("main pumping chamber", STRUCTURES, bank).name == "LV"


def test_the_model_folder_may_have_one(tmp_path: Path) -> None:
    assert find_bank(tmp_path, None) is None
    write(tmp_path / "words.npz")
    found = find_bank(tmp_path, None)
    assert found is not None and found.source == "words.npz" and found.labels == tuple(BANK)
    with pytest.raises(DatasetError, match=r"other\.npz: no such file"):
        find_bank(tmp_path, tmp_path / "other.npz")


N = len(BANK)


@each(
    "arrays, line",
    [
        ({"labels": None}, "has no labels"),
        ({"vectors": None}, "has no vectors"),
        ({"labels": np.array([{}] * N, object)}, "cannot be read as .npz"),
        ({"labels": np.arange(N)}, "labels: expected a list of strings"),
        ({"vectors": np.ones((2, 3), np.float16)}, f"expected {N} rows"),
        ({"vectors": np.ones(N, np.float16)}, f"expected {N} rows"),
        ({"vectors": np.ones((N, 3), int)}, f"expected {N} rows"),
        ({"labels": np.array([], "U1"), "vectors": np.ones((0, 3))}, "expected 0 rows"),
        ({"vectors": np.full((N, 2), np.nan, np.float16)}, "expected finite numbers"),
        ({"vectors": np.zeros((N, 2), np.float16)}, "not all 0, row 0"),
        ({"labels": np.array(["a", " A", *list(BANK)[2:]])}, "'a' is there more than once"),
        ({"structures": np.array(["LV"])}, f"structures: expected {N} names"),
        ({"threshold": 2.0}, "threshold: expected a number from 0 to 1"),
        ({"margin": np.ones(2)}, "margin: expected a number from 0 to 1"),
    ],
    ids=[
        "no labels",
        "no vectors",
        "pickles",
        "numbers",
        "another length",
        "flat",
        "whole numbers",
        "nothing",
        "NaN",
        "zeros",
        "twice",
        "few structures",
        "a threshold",
        "margins",
    ],
)
def test_a_wrong_bank_is_one_line(tmp_path: Path, arrays: dict[str, Any], line: str) -> None:
    path = write(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError) as error:
        read_word_bank(path)
    assert str(error.value).startswith(f"{path}: ") and line in str(error.value)
    assert "\n" not in str(error.value)


@each(
    "share",
    [
        0.5,
        0.9,
        0.0,
    ],
    ids=["cut", "nearly whole", "empty"],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DatasetError, match=r"cannot be read as \.npz") as error:
        read_word_bank(path)
    assert "\n" not in str(error.value)


def test_a_flipped_byte_is_one_line_or_harmless(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz")
    content = path.read_bytes()
    for at in range(0, len(content), 37):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            read_word_bank(path)
        except DatasetError as error:
            assert "\n" not in str(error)
