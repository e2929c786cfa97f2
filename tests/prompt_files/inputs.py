"""Small challenge inputs whose file frame is the PLS frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.prompt_files.prompts_json import PromptsJson, parse_prompts_json

Array = npt.NDArray[Any]
Case = tuple[str, Path]


def pls_affine(spacing: tuple[float, float, float] = (1, 1, 1)) -> Array:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, -1, 0], [-1, 0, 0], [0, 0, 1.0]]) * spacing
    return affine


def save_pls(path: Path, image: Array, spacing: tuple[float, float, float] = (1, 1, 1)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image.astype(np.float32), pls_affine(spacing)), path)
    return path


def parsed(cases: Mapping[str, Any]) -> PromptsJson:
    """A prompts.json of this content, as read from a file."""
    return parse_prompts_json(json.loads(json.dumps(cases)), "prompts.json")


def slices(n: int, entry: Any, *, first: int = 0, empty: int = 0) -> dict[str, Any]:
    """The slices `first` ... `first + n - 1` with the same prompts, the first `empty` of them null."""
    return {str(k): None if k < first + empty else entry for k in range(first, first + n)}


def read_all(
    folder: Path,
    cases: Mapping[str, Any],
    image: Array,
    spacing: tuple[float, float, float] = (1, 1, 1),
) -> tuple[PromptsJson, list[Case]]:
    """What `settle` takes: the prompts, and for each case the same image."""
    path = save_pls(folder / "image.nii.gz", image, spacing)
    return parsed(cases), [(key, path) for key in cases]
