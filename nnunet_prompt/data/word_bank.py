"""Paraphrases: a bank of phrases with embeddings that were computed elsewhere, in one .npz beside the model or given.

    labels      (N,) strings: phrases, and names or aliases of structures
    vectors     (N, D) float16: their embeddings by one model of any kind; only the direction counts
    structures  (N,) strings, may be missing: the name of the structure that a phrase means, "" where it is open
    threshold   a number, may be missing: the least cosine of a match (0.7)
    margin      a number, may be missing: how much further the second structure must be (0.05)

A phrase that `data.words` does not understand is looked up among the labels; the structure whose nearest label (its
names, its aliases, or what `structures` gives it) has the highest cosine is the one that is meant. Below the threshold,
within the margin, and nearest to something that the model does not know, the phrase is refused. No language model runs
here: a phrase that is not in the bank stays unknown, and one that holds the whole name of a structure and more, such as
"liver tumour", is only taken where `structures` states what it means.
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.words import Found, NotUnderstood, find_words, plainly

NAME = "words.npz"  # in a model folder
THRESHOLD, MARGIN = 0.7, 0.05
MOST_BYTES = 2**30  # unpacked
FORM = "expected labels (N strings) and vectors (N, D) of numpy.savez"
FloatArray = npt.NDArray[np.float32]
Structures = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class WordBank:
    """The phrases of a bank, `vectors` (N, D) of length 1 in their order; `source` is its file's name.

    `structures` has the name of the structure that each phrase means, "" where it is open.
    """

    source: str
    labels: tuple[str, ...]
    vectors: FloatArray
    structures: tuple[str, ...]
    threshold: float = THRESHOLD
    margin: float = MARGIN
    rows: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", {_key(one): i for i, one in enumerate(self.labels)})


def read_word_bank(path: Path) -> WordBank:
    """Reads a bank; nothing in it is executed. Raises `DatasetError` in one line for a file that is none."""
    arrays = _read_arrays(path)
    missing = [name for name in ("labels", "vectors") if name not in arrays]
    if missing:
        raise DatasetError(f"{path}: has no {' and no '.join(missing)}; {FORM}")
    labels, vectors = _texts(path, "labels", arrays["labels"]), arrays["vectors"]
    if vectors.dtype.kind != "f" or vectors.ndim != 2 or len(vectors) != len(labels) or not labels:
        raise DatasetError(
            f"{path}: vectors: expected {len(labels)} rows of numbers, such as float16, one for each label, found"
            f" {vectors.dtype} of shape {vectors.shape}"
        )
    structures = ("",) * len(labels)
    if "structures" in arrays:
        structures = _texts(path, "structures", arrays["structures"])
        if len(structures) != len(labels):
            raise DatasetError(
                f"{path}: structures: expected {len(labels)} names, one for each label, found {len(structures)}"
            )
    bank = WordBank(
        path.name,
        labels,
        _unit(path, labels, vectors),
        structures,
        _number(path, "threshold", arrays, THRESHOLD),
        _number(path, "margin", arrays, MARGIN),
    )
    if len(bank.rows) < len(labels):
        twice = next(one for i, one in enumerate(labels) if bank.rows[_key(one)] != i)
        raise DatasetError(f"{path}: labels: {twice!r} is there more than once")
    return bank


def find_bank(folder: Path, given: Path | None) -> WordBank | None:
    """The bank that is `given`, else that of the model folder, None where it has none. Raises like `read_word_bank`."""
    path = folder / NAME if given is None else given
    if given is None and not path.exists():
        return None
    return read_word_bank(path)


def find_phrase(
    phrase: str, structures: Mapping[str, Iterable[str]], bank: WordBank | None
) -> Found:
    """The structure that a phrase means by its words, else by the bank.

    Raises `DatasetError` where it means none of them, or could mean two: it then names both.
    """
    try:
        return find_words(phrase, structures)
    except NotUnderstood as error:
        if bank is None:
            raise
        row = bank.rows.get(_key(phrase))
        if row is None:
            raise NotUnderstood(f"{error} (it is not in {bank.source} either)") from None
        if error.holds_name and not bank.structures[row]:
            raise  # a tumour of the liver is not the liver, however near its vector is
    known = tuple((name, tuple(aliases)) for name, aliases in structures.items())
    return _nearest(phrase, row, bank, _targets(bank, known))


def _nearest(phrase: str, row: int, bank: WordBank, targets: tuple[tuple[str, bool], ...]) -> Found:
    cosines = bank.vectors @ bank.vectors[row]
    best: dict[tuple[str, bool], tuple[float, str]] = {}
    for target, cosine, label in zip(targets, cosines.tolist(), bank.labels, strict=True):
        if target[0] and cosine > best.get(target, (-2.0, ""))[0]:
            best[target] = (cosine, label)
    ranked = sorted(best, key=lambda target: -best[target][0])
    if not ranked:
        raise DatasetError(
            f"no structure {phrase!r}: {bank.source} names no structure of the model"
        )
    (name, known), (cosine, label) = ranked[0], best[ranked[0]]
    if cosine < bank.threshold:
        raise DatasetError(
            f"no structure {phrase!r}: in {bank.source} it is nearest to {label!r}, with a cosine of {cosine:.2f},"
            f" below {bank.threshold:g}"
        )
    second = best[ranked[1]][0] if ranked[1:] else -1.0
    if cosine - second < bank.margin:
        raise DatasetError(
            f"structure {phrase!r}: could be {name!r} or {ranked[1][0]!r} by {bank.source} (cosines {cosine:.2f} and"
            f" {second:.2f}): name one of them"
        )
    if not known:
        raise DatasetError(f"no structure {phrase!r}: by {bank.source} it means {name!r}")
    after = f", the next structure has {second:.2f}" if ranked[1:] else ""
    return Found(name, f"{bank.source}: nearest to {label!r} with a cosine of {cosine:.2f}{after}")


@lru_cache(maxsize=4)  # a worker elsewhere gets a new bank with each case
def _targets(bank: WordBank, structures: Structures) -> tuple[tuple[str, bool], ...]:
    """For each row what it stands for, "" for nothing, and whether that is a structure of the model."""
    known = dict(structures)
    return tuple(
        _target(label, stated, known)
        for label, stated in zip(bank.labels, bank.structures, strict=True)
    )


def _target(label: str, stated: str, structures: Mapping[str, Iterable[str]]) -> tuple[str, bool]:
    found = plainly(stated or label, structures)
    if found is not None and len(found) == 1:
        return next(iter(found)), True
    if stated:
        return stated, False
    # other anatomy that is known is a rival, an open phrase is none
    return (label, False) if found is not None and not found else ("", False)


def _key(phrase: str) -> str:
    """The phrase as phrases are compared: without case, in single spaces."""
    return " ".join(unicodedata.normalize("NFC", phrase).casefold().replace("_", " ").split())


def _read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of the file that are known."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; {FORM}")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_BYTES:
            raise DatasetError(f"{path}: larger than {MOST_BYTES >> 20} MiB, so no bank of phrases")
        with np.load(path, allow_pickle=False) as file:
            wanted = ("labels", "vectors", "structures", "threshold", "margin")
            return {name: np.asarray(file[name]) for name in wanted if name in file.files}
    except DatasetError:
        raise
    except Exception as error:  # a damaged zip or array can end in nearly any
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DatasetError(f"{path}: cannot be read as .npz ({reason}); {FORM}") from None


def _texts(path: Path, name: str, array: Any) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DatasetError(
            f"{path}: {name}: expected a list of strings, found {array.dtype} of shape {array.shape}"
        )
    return tuple(str(one).strip() for one in array)


def _unit(path: Path, labels: tuple[str, ...], vectors: Any) -> FloatArray:
    """The vectors with length 1."""
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if wrong.size:
        raise DatasetError(
            f"{path}: vectors: expected finite numbers that are not all 0, row {wrong[0]} ({labels[wrong[0]]!r}) has"
            " others"
        )
    return np.asarray(wide / lengths[:, None], np.float32)


def _number(path: Path, name: str, arrays: Mapping[str, Any], default: float) -> float:
    """A number from 0 to 1."""
    array = arrays.get(name, np.array(default))
    if array.shape != () or array.dtype.kind not in "fiu" or not 0 <= float(array) <= 1:
        raise DatasetError(f"{path}: {name}: expected a number from 0 to 1, such as {default}")
    return float(array)
