"""The one label map of a case whose values are those of its task: what it shows, and how it fits its image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nnunet_prompt.data.care_labels import (
    Task,
    atoms_on_disk,
    audit_values,
    label_values,
    table_for,
)
from nnunet_prompt.data.case import values_in
from nnunet_prompt.data.grids import Agreement, agreement
from nnunet_prompt.io.nifti import Grid, read_grid, read_stored_labels

from .download import CareOptions
from .inspect import Inspection, header_notes


def with_labels(
    inspection: Inspection, grid: Grid, path: Path, task: Task, options: CareOptions
) -> tuple[Inspection, dict[int, int]]:
    """The inspection with what the label map states, and the label of each of its values.

    A structure that is not in the map counts as unknown. Raises `ImageError` for a map that cannot be read.
    """
    label_grid = read_grid(path)
    how = agreement(grid, label_grid)
    values = values_in(read_stored_labels(path).array)
    audit = audit_values(task, values, unknown_to_background=options.unknown_to_background)
    ids = label_values(task, atoms_on_disk(task)) | dict.fromkeys(audit.background, 0)
    names = {s.label: s.name for s in table_for(task).structures}
    seen = {names[ids[v]] for v in values if ids.get(v)}
    missing = [
        f"{n} is not in the label map and counts as unknown"
        for n in names.values()
        if n not in seen
    ]
    empty = [] if seen else [f"{path.name} is empty, expected {', '.join(names.values())}"]
    apart = f"{path.name} and the image do not overlap in space (their shapes differ, too)"
    found = replace(
        inspection,
        label_values=values,
        agreement=how,
        annotated=tuple(sorted(seen)),
        notes=(
            *header_notes("the image", grid),
            *audit.notes,
            *missing,
            *label_notes(label_grid, how),
        ),
        left_out=apart if how == "disjoint" else "",
        problems=(*inspection.problems, *audit.problems, *empty),
    )
    return found, ids


def label_notes(label_grid: Grid, how: Agreement, image: str = "the image") -> Iterator[str]:
    """Notes for users on a label map of this grid, and on how it fits `image`."""
    yield from header_notes("the label map", label_grid)
    if label_grid.dtype.startswith("float"):
        yield f"the label map has type {label_grid.dtype} and is rounded"
    if how == "affine differs":
        yield f"the label map takes the geometry of {image} (same shape, another affine)"
    if how == "shape differs":
        yield f"the label map, shape {label_grid.shape}, is resampled to {image} by nearest neighbour"
