"""Jobs of a platform: a phantom heart and a model for it, and small jobs made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from nnunet_prompt.challenge.forms.inputs import write_inputs
from tests.helpers.models import write_model_folder

SHAPE = (10, 12, 6)
AFFINE = np.array([[-1.5, 0, 0, 20], [0, -1.25, 0, -7], [0, 0, 4, 11], [0, 0, 0, 1.0]])  # LPS
IMAGE = "images/medical-image/0d1f.mha"


def lively_model(folder: Path, **changes: Any) -> Path:
    """A model that was never trained, whose heads state something everywhere, with tiles for a heart."""
    import torch

    write_model_folder(folder, **changes)
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["patch_size"] = [8, 64, 64]
    (folder / "plans.json").write_text(json.dumps(plans))
    path = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    for name, value in checkpoint["network_weights"].items():
        if name.startswith("heads.") and name.endswith("bias"):
            value.zero_()
    torch.save(checkpoint, path)
    return folder


def noise(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def save_image(path: Path, array: npt.NDArray[Any], affine: Any = AFFINE) -> Path:
    """Writes an array (X, Y, Z) as the ending of the path states."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(array, affine), path)
        return path
    nifti = path.with_name("passing.nii.gz")
    nib.save(nib.Nifti1Image(array, affine), nifti)
    to_mha(nifti, path)
    nifti.unlink()
    return path


def to_mha(source: Path, target: Path) -> None:
    """Writes a NIfTI file as MetaImage, without the header fields that it keeps with a warning for each."""
    image = sitk.ReadImage(str(source))
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    sitk.WriteImage(image, str(target), True)


def read_mask(path: Path) -> npt.NDArray[Any]:
    """The voxels (X, Y, Z) of a mask, by a reader that is not ours."""
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).T


def write_job(folder: Path, files: Mapping[str, Path | Any]) -> Path:
    """An input folder: of each slug an image file that lies there already, or JSON to be written to <slug>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for slug, what in files.items():
        if isinstance(what, Path):
            paths[slug] = what
        else:
            paths[slug] = folder / f"{slug}.json"
            paths[slug].write_text(json.dumps(what))
    (folder / "inputs.json").write_text(json.dumps(write_inputs(folder, paths)))
    return folder


def points(*at: tuple[float, float, float], name: str = "ball") -> dict[str, Any]:
    """An annotation of points."""
    return {
        "type": "Multiple points",
        "version": {"major": 1, "minor": 0},
        "points": [{"name": name, "point": list(p)} for p in at],
    }
