"""What the functions that read and write NIfTI files do with arguments that nobody means."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from nnunet_prompt.io.nifti import (
    read_grid,
    read_label_volume,
    read_labels,
    read_nifti,
    read_stored,
    volume_count,
    write_labels_like,
)
from tests.helpers.nonsense import refuses


def test_what_is_no_path_and_no_volume(tmp_path: Path) -> None:
    for call in (read_nifti, read_stored, read_labels, read_label_volume, read_grid, volume_count):
        refuses(call, [None, 3, ["a.nii"], "", "\0", np.zeros(3), b"a.nii"])
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4)), path)
    refuses(lambda v: read_nifti(path, volume=v), [True, "0", 1.5, (0,), -7, np.zeros((2, 2))])
    volume = read_nifti(str(path))
    refuses(lambda v: write_labels_like(v, np.zeros((2, 3, 4), np.uint8), volume), [None, 3, ""])
    refuses(lambda v: write_labels_like(tmp_path / "b.nii", v, volume), [None, 3, "LV", [1]])
    refuses(
        lambda v: write_labels_like(tmp_path / "b.nii", np.zeros((2, 3, 4), np.uint8), v),
        [None, path, volume.array],
    )
    assert not (tmp_path / "b.nii").exists()
