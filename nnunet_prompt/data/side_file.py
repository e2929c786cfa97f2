"""The side file of a raw data set, beside nnU-Net's files: patient, centre, source, sequence of each case.

It stays in the raw folder and never leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.io.json_file import read_object, write_json

SIDE_FILE = "nnunet_prompt_cases.json"
SIDE_VERSION = 1


def write_side_file(dataset: Path, cases: Mapping[str, Mapping[str, str]]) -> None:
    """Writes what `read_side_file` reads. Raises `OutputError`."""
    write_json(dataset / SIDE_FILE, {"version": SIDE_VERSION, "cases": cases})


def read_side_file(dataset: Path) -> dict[str, dict[str, str]]:
    """Reads the side file of a raw data set, an entry per case; empty when there is none.

    Raises `DatasetError` when it is not in the form that `write_raw_dataset` writes.
    """
    path = dataset / SIDE_FILE
    if not path.is_file():
        return {}
    try:
        content = read_object(path, DatasetError)
        version, cases = content["version"], content["cases"]
        known = {case: {k: str(v) for k, v in entry.items()} for case, entry in cases.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not in the form of a side file ({error!r})") from error
    if version != SIDE_VERSION:
        raise DatasetError(f"{path}: version is {version}, this package reads {SIDE_VERSION}")
    return known


def patients_of(dataset: Path) -> dict[str, str]:
    """The patient of each case of a raw data set; empty unless the side file names one for every case."""
    known = read_side_file(dataset)
    patients = {case: entry["patient"] for case, entry in known.items() if "patient" in entry}
    return patients if len(patients) == len(known) else {}
