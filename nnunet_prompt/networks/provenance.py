"""Where weights come from, under which licence, and how points looked to them. It travels inside the weights, as one
buffer of fixed size.

nnU-Net keeps of a start checkpoint only what is in its `network_weights`. A buffer among them reaches every checkpoint
that is trained from it, and every tool that copies weights copies it as well.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.capability import PointMetric
from nnunet_prompt.networks.tensor_names import PROVENANCE
from nnunet_prompt.prompts.encode import PointShape

if TYPE_CHECKING:
    from torch import Tensor

PROVENANCE_BYTES: Final = 4096
UNKNOWN_LICENCE: Final = "unknown: ask the owner of the weights"
OWN_LICENCE: Final = "none stated: ask its owner, unless it is your own model"  # of our trainers
INTERACTIVE_FAMILY: Final = "nninteractive"


@dataclass(frozen=True, slots=True)
class Origin:
    """A model that weights were taken from: its name, its family, its licence and the hash of its file."""

    name: str
    family: str
    licence: str = UNKNOWN_LICENCE
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Points:
    """How points were drawn for weights, in the words of `Capability`. Raises `ValueError` for anything else."""

    shape: PointShape = "edt"
    radius: float = 4.0
    metric: PointMetric = "spacing"

    def __post_init__(self) -> None:
        known = self.shape in get_args(PointShape) and self.metric in get_args(PointMetric)
        if not known or not (math.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"no such points: {self}")

    def __str__(self) -> str:
        unit = "voxels along every axis" if self.metric == "voxel" else "voxels of the finest axis"
        return f"{self.shape}, radius {self.radius:g} {unit}"


def pack(origins: Iterable[Origin], points: Points | None = None) -> Tensor:
    """The buffer for a network, uint8 (4096,): JSON in UTF-8, padded with zeros; all zeros for nothing.

    `points` are those that the weights were trained with, None where it is not known. Raises `ModelError` where
    it does not fit.
    """
    import torch

    entries = [asdict(origin) for origin in origins]
    content = entries if points is None else {"origins": entries, "points": asdict(points)}
    text = json.dumps(content, ensure_ascii=False).encode() if content else b""
    if len(text) > PROVENANCE_BYTES:
        raise ModelError(
            f"provenance: names and licences of {len(entries)} source model(s) take {len(text)} bytes, expected at most"
            f" {PROVENANCE_BYTES}; give a shorter text with --licence"
        )
    return torch.tensor(list(text.ljust(PROVENANCE_BYTES, b"\0")), dtype=torch.uint8)


def unpack(buffer: Tensor) -> tuple[Origin, ...]:
    """The origins in a buffer, the nearest first; none for zeros. Raises `ModelError` for anything else."""
    return _unpacked(buffer)[0]


def provenance_of(weights: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The origins that a state dict names, the nearest first; none where it has no such buffer."""
    return unpack(weights[PROVENANCE]) if PROVENANCE in weights else ()


def points_of(weights: Mapping[str, Any]) -> Points | None:
    """How points were drawn for a state dict, None where it does not show.

    Where it states only that nnInteractive is among its origins, these are nnInteractive's: one radius in voxels.
    """
    if PROVENANCE not in weights:
        return None
    origins, points = _unpacked(weights[PROVENANCE])
    if points is None and any(o.family == INTERACTIVE_FAMILY for o in origins):
        return Points(metric="voxel")
    return points


def exported_origins(checkpoint: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The origins that `weights export` writes beside the weights of a checkpoint, the nearest first; else none.

    Raises `ModelError` for a list of another form; what is no list is not ours.
    """
    entries = checkpoint.get(PROVENANCE)
    if not isinstance(entries, list):
        return ()
    try:
        return tuple(Origin(**entry) for entry in entries)
    except TypeError as error:
        raise ModelError(
            f"provenance: the list of that name in the checkpoint is damaged ({error}); the licence of these weights is"
            " unknown"
        ) from None


def _unpacked(buffer: Tensor) -> tuple[tuple[Origin, ...], Points | None]:
    text = bytes(buffer.tolist()).rstrip(b"\0")
    if not text:
        return (), None
    try:
        content = json.loads(text)
        entries, points = content, None
        if isinstance(content, dict):
            entries, points = content["origins"], Points(**content["points"])
        return tuple(Origin(**entry) for entry in entries), points
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"provenance: the buffer of that name is damaged ({error}); the licence of these weights is unknown"
        ) from None


def licence_notes(origins: Iterable[Origin]) -> list[str]:
    """One line for each origin: what its licence is, for whoever trains or predicts with its weights."""
    return [
        f"these weights come from {o.name} ({o.family}); its licence, which binds what is made from them: {o.licence}"
        for o in origins
    ]


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
