"""Checkpoints as safetensors: tensors, and in the header what else nnU-Net saves, as JSON; nothing can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt.common.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

ENDING: Final = ".safetensors"
WEIGHTS: Final = "network_weights"
MOST_HEADER: Final = 100_000_000  # bytes, the format's own limit


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so is one: eight bytes with the length of a JSON object, and its brace."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MOST_HEADER


def save_safetensors(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Writes the `network_weights` of a checkpoint, and its other entries, which must be JSON, in the header.

    Of tensors with several names one is saved, and the names of all.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, value in checkpoint[WEIGHTS].items():
        key = value.data_ptr(), tuple(value.shape)
        if value.numel() and key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
            tensors[name] = value.contiguous()
    described = {key: value for key, value in checkpoint.items() if key != WEIGHTS}
    metadata = {"format": "pt", "checkpoint": json.dumps(described), "aliases": json.dumps(aliases)}
    save_file(tensors, path, metadata)


def read_safetensors(path: Path) -> dict[str, Any]:
    """The content of such a file in the form of nnU-Net's checkpoint; of one of others only tensors are there.

    Raises `ModelError` for a damaged one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
        described = json.loads(metadata.get("checkpoint", "{}"))
        aliases = json.loads(metadata.get("aliases", "{}"))
        weights |= {name: weights[saved] for name, saved in aliases.items()}
        return {**described, WEIGHTS: weights}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: not a readable safetensors file ({reason})") from None
