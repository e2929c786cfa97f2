"""Where weights come from and under which licence. It travels inside the weights, as one buffer of fixed size.

nnU-Net keeps of a start checkpoint only what is in its `network_weights`. A buffer among them reaches every checkpoint
that is trained from it, and every tool that copies weights copies it as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt.errors import ModelError
from nnunet_prompt.weights.names import PROVENANCE

if TYPE_CHECKING:
    from torch import Tensor

PROVENANCE_BYTES: Final = 4096
UNKNOWN_LICENCE: Final = "unknown: ask the owner of the weights"


@dataclass(frozen=True, slots=True)
class Origin:
    """A model that weights were taken from: its name, its family, its licence and the hash of its file."""

    name: str
    family: str
    licence: str = UNKNOWN_LICENCE
    sha256: str = ""


def pack(origins: Iterable[Origin]) -> Tensor:
    """The buffer for a network, uint8 (4096,): JSON in UTF-8, padded with zeros; all zeros for no origin.

    Raises `ModelError` where it does not fit.
    """
    import torch

    entries = [asdict(origin) for origin in origins]
    text = json.dumps(entries, ensure_ascii=False).encode() if entries else b""
    if len(text) > PROVENANCE_BYTES:
        raise ModelError(
            f"provenance: names and licences of {len(entries)} source model(s) take {len(text)} bytes, expected at most"
            f" {PROVENANCE_BYTES}; give a shorter text with --licence"
        )
    return torch.tensor(list(text.ljust(PROVENANCE_BYTES, b"\0")), dtype=torch.uint8)


def unpack(buffer: Tensor) -> tuple[Origin, ...]:
    """The origins in a buffer, the nearest first; none for zeros. Raises `ModelError` for anything else."""
    text = bytes(buffer.tolist()).rstrip(b"\0")
    if not text:
        return ()
    try:
        return tuple(Origin(**entry) for entry in json.loads(text))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"provenance: the buffer of that name is damaged ({error}); the licence of these weights is unknown"
        ) from None


def provenance_of(weights: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The origins that a state dict names, the nearest first; none where it has no such buffer."""
    return unpack(weights[PROVENANCE]) if PROVENANCE in weights else ()


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
