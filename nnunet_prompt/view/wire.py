"""The form in which a case, its prompts and its mask travel to the page.

    image   gzip of uint16, the values from the lowest to the highest finite one mapped to 0 to 65535
    answer  gzip of a length (uint32, little endian), that many bytes of JSON, and one byte per voxel: 0, or the place
            of the voxel's label in `labels` of the JSON, counted from 1

Voxels come with the file's first axis fastest. JSON has prompts in voxels of the file's array.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, PromptError
from nnunet_prompt.prompt_files.own_form import FORMAT
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble

if TYPE_CHECKING:
    from nnunet_prompt.data.structures import StructureTable
    from nnunet_prompt.io.nifti import NiftiVolume
    from nnunet_prompt.prompts.types import CasePrompts
    from nnunet_prompt.view.tab import Tab

MOST_VOXELS = 400_000_000  # 0.8 GB in the browser
MOST_LABELS = 255


def image_bytes(volume: NiftiVolume) -> tuple[bytes, tuple[float, float]]:
    """The voxels of an image as gzip, and the values that 0 and 65535 stand for.

    Raises `ImageError` for an image that is too large for a browser.
    """
    array = volume.array
    if array.size > MOST_VOXELS:
        raise ImageError(
            f"{volume.path}: {array.size} voxels, a browser can show {MOST_VOXELS}; use predict"
        )
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    scale = 65535 / (high - low) if high > low else 0.0
    levels = np.rint((array.astype(np.float32) - low) * scale).clip(0, 65535).astype("<u2")
    return gzip.compress(levels.tobytes(order="F"), 1), (low, high)


def answer_bytes(tab: Tab) -> bytes:
    """The state of a tab and its mask, as gzip. Raises `PromptError` for more labels than fit a byte."""
    values = known_labels(tab)
    if len(values) > MOST_LABELS:
        raise PromptError(f"{len(values)} labels; the page shows at most {MOST_LABELS}")
    shown = _as_places(tab.mask, values)
    counts = np.bincount(shown.ravel(order="K"), minlength=len(values) + 1)
    state = json.dumps(state_of(tab, values, counts)).encode()
    content = struct.pack("<I", len(state)) + state + shown.tobytes(order="F")
    return gzip.compress(content, 1)


def _as_places(mask: npt.NDArray[Any], values: list[int]) -> npt.NDArray[np.uint8]:
    """The place of each voxel's label in `values`, counted from 1, as the page has it."""
    if max(values, default=0) < 1 << 16:
        table = np.zeros(max(values, default=0) + 1, np.uint8)
        table[values] = np.arange(1, len(values) + 1)
        shown: npt.NDArray[np.uint8] = table[mask]
        return shown
    shown = np.zeros(mask.shape, np.uint8)
    for place, value in enumerate(values, 1):
        shown[mask == value] = place
    return shown


def known_labels(tab: Tab) -> list[int]:
    """The labels of the list: those of the model, of the prompts and of the mask."""
    structures = [s.official for s in tab.session.predictor.table.structures]
    others = {*tab.prompts.labels, *tab.locked, *map(int, np.unique(tab.mask))} - {0}
    return [*dict.fromkeys(structures), *sorted(others - set(structures))]


def state_of(tab: Tab, values: list[int], counts: npt.NDArray[np.intp]) -> dict[str, Any]:
    """The state of a tab as plain data."""
    names = names_of(tab.session.predictor.table)
    millilitres = abs(float(np.linalg.det(tab.volumes[0].affine[:3, :3]))) / 1000
    said = tab.prompts.labels
    labels = [
        {
            "value": value,
            "name": names.get(value, f"label {value}"),
            "voxels": int(counts[place]),
            "millilitres": float(counts[place]) * millilitres,
            "locked": value in tab.locked,
            "prompted": value in said,
        }
        for place, value in enumerate(values, 1)
    ]
    return {
        "case": tab.name,
        "labels": labels,
        "prompts": {str(label): set_to_json(one) for label, one in said.items()},
        "steps": len(tab.before),
        "undone": len(tab.undone),
        "automatic": tab.automatic_on,
        "seconds": tab.seconds,
        "tiles": tab.session.tiles_run,
    }


def names_of(table: StructureTable) -> dict[int, str]:
    """The names of the structures by official value; several share one as "a / b"."""
    names: dict[int, str] = {}
    for s in table.structures:
        names[s.official] = f"{names[s.official]} / {s.name}" if s.official in names else s.name
    return names


def set_to_json(said: PromptSet) -> dict[str, Any]:
    """The prompts of one label in our own form, without masks; empty kinds are left out."""
    found: dict[str, Any] = {
        "points": [{"position": list(p.position), "positive": p.positive} for p in said.points],
        "boxes": [
            {"lower": list(b.lower), "upper": list(b.upper), "positive": b.positive}
            for b in said.boxes
        ],
        "scribbles": [
            {"path": [list(v) for v in s.path], "positive": s.positive} for s in said.scribbles
        ],
    }
    return {kind: prompts for kind, prompts in found.items() if prompts}


def prompts_to_json(
    case: str, prompts: CasePrompts, masks: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """The prompts of a case in our own form, as `predict -p` reads it; `masks` names the mask files of labels."""
    labels = {}
    for label, said in prompts.labels.items():
        content = set_to_json(said)
        if masks and label in masks:
            content["mask"] = masks[label]
        if content:
            labels[str(label)] = content
    return {"format": FORMAT, "version": 1, "space": "voxel", "cases": {case: labels}}


def prompt_from_json(content: Mapping[str, Any]) -> Point | Box | Scribble:
    """A prompt of the page: {"kind": "point", "position": [i, j, k], "positive": true}, or a box or a scribble.

    Raises `PromptError` for anything else.
    """
    kind, positive = content.get("kind"), content.get("positive", True)
    if kind == "point":
        return Point(content.get("position"), positive)  # type: ignore[arg-type]
    if kind == "box":
        return Box(content.get("lower"), content.get("upper"), positive)  # type: ignore[arg-type]
    if kind == "scribble":
        return Scribble(content.get("path"), positive)  # type: ignore[arg-type]
    raise PromptError(f"kind: expected point, box or scribble, found {kind!r}")
