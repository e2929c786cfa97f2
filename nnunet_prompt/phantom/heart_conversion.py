"""The phantom heart of `nnunet_prompt.phantom.heart`, as if it were a download.

    <folder>/images/<case>.nii.gz, <folder>/labels/<case>.nii.gz, <folder>/cases.json

Myocardium is the whole muscle, scar included; centre C did not look for scar.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.conversion import converter_parser, run_converter
from nnunet_prompt.data.raw import RawTarget, keep_out_of, write_raw_dataset
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.phantom.anatomy import OFFICIAL
from nnunet_prompt.phantom.heart import CASES_FILE

STRUCTURES = StructureTable(
    (
        Structure("LV", 1, (1,), OFFICIAL["LV"]),
        Structure("myocardium", 2, (2, 4), OFFICIAL["myocardium"]),
        Structure("RV", 3, (3,), OFFICIAL["RV"]),
        Structure("scar", 4, (4,), OFFICIAL["scar"]),
    ),
    priority=("scar", "LV", "myocardium", "RV"),
)
NAME = "PhantomHeart"


def convert(source: Path, dataset_id: int, *, name: str | None = None) -> Path:
    """Writes the phantoms of a folder as nnU-Net raw data, in canonical orientation, and returns the folder.

    Raises `DatasetError` when the folder holds no finished phantoms, and everything that `write_raw_dataset` raises.
    """
    keep_out_of([source])
    cases = list(phantom_cases(source))
    target = RawTarget(dataset_id, name or NAME, sources=(source,))
    return write_raw_dataset(cases, target, table=STRUCTURES)


def phantom_cases(source: Path) -> Iterator[Case]:
    """The phantoms that `cases.json` lists. Raises `DatasetError` when it is missing or not in its form."""
    path = source / CASES_FILE
    if not path.is_file():
        raise DatasetError(f"{path}: no such file: make phantoms there first")
    try:
        entries = read_object(path, DatasetError, way_out=": make phantoms there first")["cases"]
        known = [(str(n), str(e["centre"]), e["annotated"]) for n, e in entries.items()]
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not in the form of a phantom folder ({error!r})") from error
    ids = {0: 0} | {s.official: s.label for s in STRUCTURES.structures}
    for case, centre, annotated in known:
        yield Case(
            case,
            (source / "images" / f"{case}.nii.gz",),
            source / "labels" / f"{case}.nii.gz",
            annotated=None if annotated is None else frozenset(annotated),
            label_values=ids,
            patient=case,
            centre=centre,
            source=f"images/{case}.nii.gz",
            sequence="LGE",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = converter_parser("Phantom hearts to nnU-Net raw data").parse_args(arguments)
    return run_converter(lambda: convert(options.source, options.dataset_id, name=options.name))


if __name__ == "__main__":
    sys.exit(main())
