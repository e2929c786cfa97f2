"""A model folder made by hand and a support set of two balls, which it has no output for."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.models import write_model_folder

AFFINE = np.diag([1.25, 1.5, 4.0, 1.0])
SHAPE = (14, 16, 9)  # X, Y, Z


def write_case(
    folder: Path, name: str, *, value: int = 7, seed: int = 0, empty: bool = False
) -> None:
    """A bright ball in noise, labelled with `value`."""
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE)
    middle = np.array([6, 8, 4]) + rng.integers(-1, 2, 3)
    far = sum(((grid[axis] - middle[axis]) / (3, 3, 2)[axis]) ** 2 for axis in range(3))
    ball = (far <= 1) & (not empty)
    image = (100 + 200 * ball + rng.normal(0, 5, SHAPE)).astype(np.float32)
    for part, array, ending in (
        ("images", image, "_0000.nii.gz"),
        ("labels", (value * ball).astype(np.uint8), ".nii.gz"),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, AFFINE), folder / part / f"{name}{ending}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "model")


@pytest.fixture
def support(tmp_path: Path) -> Path:
    folder = tmp_path / "support"
    for i in range(2):
        write_case(folder, f"case_{i}", seed=i)
    return folder
