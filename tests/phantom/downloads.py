"""Phantom downloads on disk, what a converter says about them, and what becomes of their labels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from nnunet_prompt.data.case import Case, load_canonical
from nnunet_prompt.dataset_conversion.care.inspect import Examined, inspect_download
from nnunet_prompt.io.nifti import read_grid, read_label_volume
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase
from nnunet_prompt.phantom.record import File, Record, save_volume
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.prompts.frames import canonical_map, pls_map


def write_files(folder: Path, files: Mapping[str, File]) -> None:
    """Writes the files of a drawn case as they are."""
    for name, file in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file, Volume):
            save_volume(path, file)
        else:
            path.write_bytes(file)


def save(case: DrawnCase, folder: Path, defect: Defect | None = None) -> None:
    """Writes a drawn case as a download has it, with a defect in it."""
    files = case.files if defect is None else defect.inject(np.random.default_rng(0), case.files)
    Record.open(folder, {}).add("case", files, {})
    (folder / "mock_challenge.json").unlink()


def inspected(examined: Iterable[Examined], table: Path) -> dict[str, dict[str, str]]:
    """The rows of `--inspect` by case; no case has a problem."""
    assert inspect_download(examined, table, console=Console(file=io.StringIO())) == 0
    with table.open(newline="", encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def converted_labels(case: Case, image: Path) -> npt.NDArray[np.int32]:
    """The labels of a converted case, brought back to the axes of its image file."""
    grid = read_grid(image)
    label = load_canonical(case).label
    assert label is not None
    return canonical_map(grid.affine, grid.shape).inverse().apply(label)


def in_pls(volume: Volume) -> npt.NDArray[Any]:
    """The voxels with axes towards posterior, left and superior."""
    return pls_map(volume.affine, volume.array.shape).apply(volume.array)


def millilitres(mask: npt.NDArray[np.bool_], volume: Volume) -> float:
    """The size of a mask on the grid of a volume."""
    return float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)


def same_case(a: DrawnCase, b: DrawnCase) -> bool:
    """Whether two drawn cases have the same names and the same voxels at the same places."""
    files = [{"labels": c.labels, **c.sequences, **c.files} for c in (a, b)]
    if list(files[0]) != list(files[1]):
        return False
    return all(
        np.array_equal(x.array, y.array) and np.array_equal(x.affine, y.affine)
        if isinstance(x, Volume) and isinstance(y, Volume)
        else x == y
        for x, y in zip(files[0].values(), files[1].values(), strict=True)
    )


def assert_prompts_fit(folder: Path, labels: set[int]) -> None:
    """Every box of the test set is tight round its label, every point lies on it, and all slices are named."""
    prompts = json.loads((folder / "test/prompts.json").read_text(encoding="utf-8"))
    hidden = sorted((folder / "hidden_labels").iterdir())
    assert [p.name for p in hidden] == sorted(p.name for p in (folder / "test/images").iterdir())
    assert sorted(prompts) == [p.name.removesuffix(".nii.gz") for p in hidden]
    for path in hidden:
        volume = read_label_volume(path)
        array = pls_map(volume.affine, volume.shape).apply(volume.array)
        assert set(np.unique(array)) == labels | {0}
        slices = prompts[path.name.removesuffix(".nii.gz")]
        assert list(slices) == [str(k) for k in range(array.shape[2])]
        for k, by_label in slices.items():
            plane = array[:, :, int(k)]
            assert {int(v) for v in by_label or {}} == set(np.unique(plane)) - {0}
            for value, (box, points) in (by_label or {}).items():
                where = np.argwhere(plane == int(value))
                assert box == [*where.min(axis=0), *(where.max(axis=0) + 1)]
                assert 1 <= len(points) <= 5
                assert all(plane[x, y] == int(value) for x, y in points)
