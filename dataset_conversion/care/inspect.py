"""The findings of a converter in a download, case by case, before a data set is written.

A converter examines its cases one by one. `inspect_download` prints what it found and states whether all of it is
documented; `write_examined` writes the data set and a report of what was done to each case.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.case import Case, file_of
from nnunet_prompt.data.grids import Agreement
from nnunet_prompt.data.raw import RawTarget, write_raw_dataset
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.io.nifti import Grid, count_not_finite, read_grid, read_stored
from nnunet_prompt.io.threads import in_order

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_log = logging.getLogger(__name__)

REPORT_FILE = "conversion_report.json"
REPORT_VERSION = 1
WIDTH = 200  # columns of text where there is no terminal
LISTED = 5  # so many cases are named where a note is printed; the report has all
Cell: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Inspection:
    """One case as it lies on disk, before anything is done to it."""

    case: str
    files: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()  # on disk, of the first file; empty if it cannot be read
    spacing_mm: tuple[float, ...] = ()
    axes: str = ""
    dtype: str = ""
    label_values: tuple[int, ...] = ()
    agreement: Agreement | None = None
    annotated: tuple[str, ...] = ()
    centre: str = ""
    notes: tuple[str, ...] = ()  # known peculiarities and what is done about them, one line each
    left_out: str = ""  # the known reason why the case is not written
    problems: tuple[str, ...] = ()  # undocumented findings, one line each

    def with_grid(self, grid: Grid) -> Inspection:
        """The same with the geometry of a file."""
        spacing = tuple(round(s, 4) for s in grid.spacing_mm)
        return replace(
            self, shape=grid.file_shape, spacing_mm=spacing, axes=grid.axes, dtype=grid.dtype
        )

    def row(self) -> dict[str, Cell]:
        """The record as one line of text per column."""
        return {
            "case": self.case,
            "files": " ".join(self.files),
            "shape": "x".join(map(str, self.shape)),
            "spacing_mm": "x".join(f"{s:g}" for s in self.spacing_mm),
            "axes": self.axes,
            "dtype": self.dtype,
            "label_values": " ".join(map(str, self.label_values)),
            "agreement": self.agreement or "",
            "annotated": " ".join(self.annotated),
            "centre": self.centre,
            "notes": "; ".join(self.notes),
            "left_out": self.left_out,
            "problems": "; ".join(self.problems),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """The findings, and the case to write; None when it has problems or is left out."""

    inspection: Inspection
    case: Case | None = None


def unexpected_file(path: Path, source: Path, problem: str) -> Examined:
    """The record of a file of a download in `source` that belongs to no case."""
    relative = path.relative_to(source).as_posix()
    return Examined(Inspection(relative, (relative,), problems=(problem,)))


def cases_of(examined: Iterable[Examined]) -> Iterator[Case]:
    """The cases to write; what has problems or is left out is passed over."""
    return (e.case for e in examined if e.case is not None)


def inspect_download(
    examined: Iterable[Examined], csv_path: Path | None = None, *, console: Console | None = None
) -> int:
    """Prints a table of all cases and below it each problem on a line of its own; returns the exit code.

    The exit code is 1 when any case has a problem, else 0. The images of the cases to write are read once more to
    count voxels that are not finite. `csv_path` gets the same table with all columns.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    with closing(in_order(_with_voxels, examined)) as voxels:
        found = list(progress(voxels, "inspect", leave=False))
    if csv_path is not None:
        write_csv(csv_path, found)
    console.print(_table(found))
    for line in messages(found):
        console.print(Text(line), soft_wrap=True)
    bad = sum(1 for i in found if i.problems)
    console.print(f"{len(found)} cases, {sum(1 for i in found if i.left_out)} left out, {bad} bad")
    return 1 if bad else 0


def write_examined(
    examined: Iterable[Examined],
    target: RawTarget,
    *,
    table: StructureTable,
    leave_out: bool = False,
) -> Path:
    """Writes the cases as nnU-Net raw data with `conversion_report.json` in it; returns the folder.

    All cases are examined before the first is written. Notes, and why cases are left out, are logged, each text once
    with its cases. Raises `DatasetError` for the first problem unless `leave_out`, when nothing is left to write, and
    everything that `write_raw_dataset` raises.
    """
    found = list(progress(examined, f"{target.name} examine"))
    bad = [i for e in found if (i := e.inspection).problems]
    if bad and not leave_out:
        more = f" ({len(bad) - 1} more cases have problems)" if len(bad) > 1 else ""
        raise DatasetError(
            f"case {bad[0].case}: {bad[0].problems[0]}{more}: see all with --inspect,"
            " or continue without such cases with --leave-out"
        )
    cases = list(cases_of(found))
    if not cases:
        raise DatasetError(f"data set {target.name}: no case is left to write: see --inspect")
    for line in summary(e.inspection for e in found):
        _log.info(line)
    replaced: dict[str, int] = {}

    def report(folder: Path) -> None:
        kept = [c for c in cases if c.case_id not in replaced]
        with closing(in_order(_count_not_finite, kept)) as counts:
            bar = progress(counts, f"{target.name} kept", total=len(kept), hidden=not kept)
            replaced.update(zip((c.case_id for c in kept), bar, strict=True))
        write_report(folder / REPORT_FILE, found, not_finite=replaced)

    return write_raw_dataset(
        cases, target, table=table, on_written=replaced.__setitem__, on_complete=report
    )


def write_report(
    path: Path, examined: Sequence[Examined], *, not_finite: Mapping[str, int]
) -> None:
    """Writes as JSON how each case was converted, and why some were left out.

    `not_finite` counts the voxels of each written case that were NaN or infinite and are 0 now.
    """
    content = {
        "version": REPORT_VERSION,
        "written": sum(1 for e in examined if e.case is not None),
        "left_out": sum(1 for e in examined if e.case is None),
        "cases": {e.inspection.case: _report(e, not_finite) for e in examined},
    }
    write_json(path, content)


def write_csv(path: Path, inspections: Sequence[Inspection]) -> None:
    """All columns of all records as CSV with a header line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(Inspection("").row()))
        writer.writeheader()
        writer.writerows(i.row() for i in inspections)


def messages(inspections: Iterable[Inspection]) -> list[str]:
    """One line for each note, each case left out and each problem, with the name of the case."""
    lines = []
    for i in inspections:
        lines += [f"note: case {i.case}: {note}" for note in i.notes]
        lines += [f"left out: case {i.case}: {i.left_out}"] if i.left_out else []
        lines += [f"problem: case {i.case}: {problem}" for problem in i.problems]
    return lines


def summary(inspections: Iterable[Inspection]) -> list[str]:
    """One line for each text among the notes, reasons and problems, with the number of its cases and their names."""
    cases: dict[str, list[str]] = {}
    for i in inspections:
        reasons = [r for r in (i.left_out, *i.problems) if r]
        for line in (*(f"note: {n}" for n in i.notes), *(f"left out: {r}" for r in reasons)):
            cases.setdefault(line, []).append(i.case)
    return [f"{line} ({_listed(names)})" for line, names in cases.items()]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return f"{len(names)} case{'' if len(names) == 1 else 's'}: {shown}"


def header_notes(name: str, grid: Grid) -> list[str]:
    """Lists contradictions of the header of a file; `name` is what the file is called in notes."""
    return [f"{name}: {note}" for note in grid.notes]


def geometry(inspection: Inspection, path: Path) -> Inspection:
    """The inspection with the geometry of the file `path`, or with the problem that it cannot be read."""
    try:
        return inspection.with_grid(read_grid(path))
    except ImageError as error:
        return replace(inspection, problems=(*inspection.problems, str(error)))


def _with_voxels(examined: Examined) -> Inspection:
    """The inspection after reading the images of the case, which header and labels do not show."""
    inspection, case = examined.inspection, examined.case
    try:
        counts = [(p.name, read_stored(p).replaced) for p in _image_files(case)]
        notes = [f"{name}: {n} voxels are not finite and become 0" for name, n in counts if n]
    except ImageError as error:
        return replace(inspection, problems=(*inspection.problems, str(error)))
    return replace(inspection, notes=(*inspection.notes, *notes))


def _count_not_finite(case: Case) -> int:
    return sum(count_not_finite(path) for path in _image_files(case))


def _image_files(case: Case | None) -> Iterator[Path]:
    for image in () if case is None else case.images:
        path = file_of(image)
        if path is not None:
            yield path


def _table(inspections: Sequence[Inspection]) -> Table:
    """The columns that fit a terminal; messages follow below the table, files are in the CSV."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    columns = [
        c for c in Inspection("").row() if c not in ("files", "notes", "left_out", "problems")
    ]
    for column in (*columns, "state"):
        table.add_column(column, overflow="fold")
    for i in inspections:
        row = i.row()
        state = "problem" if i.problems else "left out" if i.left_out else "note" if i.notes else ""
        table.add_row(*(Text(str(row[c])) for c in columns), Text(state))
    return table


def _report(examined: Examined, not_finite: Mapping[str, int]) -> dict[str, Any]:
    inspection = examined.inspection
    entry: dict[str, Any] = {"files": list(inspection.files), "done": list(inspection.notes)}
    if examined.case is None:
        reasons = [inspection.left_out, *inspection.problems]
        entry["left_out"] = "; ".join(r for r in reasons if r)
    else:
        entry["agreement"] = inspection.agreement
        entry["annotated"] = list(inspection.annotated)
        entry["voxels_not_finite"] = not_finite.get(examined.case.case_id, 0)
    return entry
