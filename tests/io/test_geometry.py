"""One answer to whether two grids are the same, for all who ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.case import Case, load_canonical
from nnunet_prompt.data.grids import agreement
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.inference.given import check_channels
from nnunet_prompt.io.geometry import GRID_TOLERANCE, Lattice, geometry_difference, same_geometry
from nnunet_prompt.io.nifti import read_grid, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from tests.helpers.each import each

SHAPE = (8, 6, 5)
AFFINE = np.diag([-1.5, -1.25, 8.0, 1.0])
SHORTEST = 1.25


def moved(mm: float) -> Any:
    affine = AFFINE.copy()
    affine[1, 3] += mm
    return affine


@each(("share", "same"), [(0.0, True), (0.9, True), (1.1, False)])
def test_a_tenth_of_the_shortest_edge_is_the_limit(share: float, same: bool) -> None:
    mm = share * GRID_TOLERANCE * SHORTEST
    a, b = Lattice(SHAPE, AFFINE), Lattice(SHAPE, moved(mm))
    assert same_geometry(a, b) is same_geometry(b, a) is same


def test_a_small_turn_counts_where_it_is_largest() -> None:
    """A thousandth of a radian is nothing at the origin and a fifth of a voxel at voxel 200."""
    turn = np.eye(4)
    turn[:2, :2] = [[1, -1e-3], [1e-3, 1]]
    for size, same in ((20, True), (200, False)):
        shape = (size, 20, 3)
        assert same_geometry(Lattice(shape, np.eye(4)), Lattice(shape, turn)) is same


def test_another_shape_is_another_grid() -> None:
    a, b = Lattice((2, 3, 4), AFFINE), Lattice((2, 3, 5), AFFINE)
    assert not same_geometry(a, b)
    assert geometry_difference(a, b) == "shape (2, 3, 4), expected (2, 3, 5)"
    told = geometry_difference(Lattice(SHAPE, moved(2)), Lattice(SHAPE, AFFINE))
    assert told.startswith("affine [[-1.5, 0.0, 0.0, 0.0], [0.0, -1.25, 0.0, 2.0]") and (
        told.endswith("expected [[-1.5, 0.0, 0.0, 0.0], [0.0, -1.25, 0.0, 0.0], [0.0, 0.0, 8.0, 0.0]]")
    )  # fmt: skip


@each(("mm", "same"), [(0.0, True), (0.05, True), (0.1, True), (0.5, False)])
def test_all_who_ask_agree(tmp_path: Path, mm: float, same: bool) -> None:
    """What can be trained on can be predicted, scored and prompted with."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, affine in zip(folders, (AFFINE, moved(mm)), strict=True):
        folder.mkdir()
        array = np.ones(SHAPE, np.uint8)
        nib.Nifti1Image(array, affine).to_filename(folder / "a.nii.gz")
    first, second = (folder / "a.nii.gz" for folder in folders)
    said = '{"format": "nnunet-prompt", "version": 1, "cases": {"a": {"1": {"mask": "second/a.nii.gz"}}}}'
    (tmp_path / "p.json").write_text(said)
    prompts = load_prompts(tmp_path / "p.json")
    asked = [
        lambda: check_channels([read_nifti(first), read_nifti(second)], 2),
        lambda: load_canonical(Case("a", (first, second))),
        lambda: load_canonical(Case("a", (first,), second)),
        lambda: prompts.prompts("a", read_nifti(first)),
    ]
    for ask in asked:
        if same:
            ask()
        else:
            with pytest.raises(NNUNetPromptError, match="affine"):
                ask()
    assert (agreement(read_grid(first), read_grid(second)) == "same") is same
    assert ("failed" not in evaluate_folders(*folders)) is same


def test_a_volume_lies_on_the_grid_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE).to_filename(path)
    volume = read_nifti(path)
    assert same_geometry(volume, read_grid(path))
    assert not same_geometry(volume, replace(volume, affine=moved(1)))
