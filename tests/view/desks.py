"""A desk with a network that answers what it is shown, a case on disc, and requests to the app."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.view.desk import Desk
from nnunet_prompt.view.options import ViewOptions
from tests.helpers.predictors import predictor, stored

SIZE = {"S": 14, "P": 45, "L": 38}
SHAPE = (38, 45, 14)
LOWER, UPPER = [4, 6, 2], [10, 12, 5]


def write_case(folder: Path, name: str = "heart_0000.nii.gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    volume = stored(size=SIZE)
    save_nifti(folder / name, nib.Nifti1Image(volume.array, volume.affine))
    return folder / name


def desk(folder: Path, model: PromptPredictor | None = None, **changes: Any) -> Desk:
    """A desk for a folder `images` with the case `heart`."""
    if not (folder / "images").exists():
        write_case(folder / "images")
    options = ViewOptions(**{"images": (folder / "images",), **changes})
    return Desk(model or predictor(), options)


def box_mask(lower: list[int] = LOWER, upper: list[int] = UPPER) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))] = True
    return mask


def box(label: int | str = 500, **changes: Any) -> dict[str, Any]:
    return {"kind": "box", "label": label, "lower": LOWER, "upper": UPPER, **changes}


def split(content: bytes) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """The state and the places of an answer, which may still be compressed."""
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    length = int.from_bytes(content[:4], "little")
    state = json.loads(content[4 : 4 + length])
    return state, np.frombuffer(content[4 + length :], np.uint8).reshape(SHAPE, order="F")
