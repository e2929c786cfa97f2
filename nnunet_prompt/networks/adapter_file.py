"""The small file of a tuning: what it trained, for which base, and whose licence binds it.

It has the form of an nnU-Net checkpoint with few weights, so that everything that reads checkpoints reads it as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.lora import DOWN, ORIGINAL, UP
from nnunet_prompt.networks.provenance import Origin, pack, provenance_of
from nnunet_prompt.networks.tensor_names import PROVENANCE, SEG_LAYERS, SUPPORT, saved_name
from nnunet_prompt.networks.tunable import Tuning

ADAPTER_FILE: Final = "adapter.pth"
ADAPTER_VERSION: Final = 1
# what a whole checkpoint states beside its weights, and an adapter too, so that the two make a checkpoint
ABOUT: Final = ("trainer_name", "init_args", "inference_allowed_mirroring_axes")
_LORA: Final = {DOWN: ".lora_down", UP: ".lora_up"}


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The result of a tuning. `tensors` are named as in the network; `about` has the keys of `ABOUT`."""

    tuning: Tuning
    base_sha256: str
    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]
    origins: tuple[Origin, ...] = field(default=())


def base_sha256(network: nn.Module) -> str:
    """A hash of what every model tuned from the same base shares: all weights but the output layers.

    It depends on names, shapes and values, not on files, aliases, devices or what a tuning added. Of weights that a
    tuning has changed it is another.
    """
    tensors = {n.replace(ORIGINAL, ".weight"): t for n, t in _tensors(network).items()}
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if (
            name.startswith((SEG_LAYERS, SUPPORT))
            or name == PROVENANCE
            or name.endswith((DOWN, UP))
        ):
            continue
        if ".adapter." not in name:
            tensor = tensors[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def write_adapter(path: Path, adapter: Adapter) -> None:
    """Writes an adapter file."""
    weights = {_file_name(n): t.detach().cpu().clone() for n, t in adapter.tensors.items()}
    content = {
        "network_weights": {**weights, PROVENANCE: pack(adapter.origins)},
        "adapter": {
            "version": ADAPTER_VERSION,
            **asdict(adapter.tuning),
            "base_sha256": adapter.base_sha256,
        },
        **adapter.about,
    }
    with replacing(path) as partial:
        torch.save(content, partial)


def read_adapter(path: Path) -> Adapter:
    """Reads an adapter file as data. Raises `ModelError` for anything else."""
    content = read_checkpoint(path)
    head = content.get("adapter")
    if not isinstance(head, dict):
        raise ModelError(
            f"{path}: not an adapter, it has no 'adapter'; expected the {ADAPTER_FILE} that a tuning trainer writes"
        )
    if head.get("version") != ADAPTER_VERSION:
        raise ModelError(
            f"{path}: an adapter of version {head.get('version')}, this package reads version {ADAPTER_VERSION}"
        )
    weights = dict(content["network_weights"])
    origins = provenance_of(weights)
    weights.pop(PROVENANCE, None)
    try:
        tuning = Tuning(head["method"], int(head["rank"]), float(head["alpha"]))
        about = {key: content[key] for key in ABOUT}
        return Adapter(tuning, str(head["base_sha256"]), weights, about, origins)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a complete adapter ({error!r})") from None


def apply_adapter(adapter: Adapter, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Copies the values of an adapter into the tensors of a network that was made tunable in the same way.

    `source` is its file. Raises `ModelError` where names or shapes differ.
    """
    own = {_file_name(name): tensor for name, tensor in tensors.items()}
    for name in sorted(own.keys() ^ adapter.tensors.keys()):
        where = "the network has none" if name in adapter.tensors else "the adapter has none"
        raise ModelError(f"{source}: does not fit its own plans, tensor {name}: {where}")
    with torch.no_grad():
        for name, tensor in own.items():
            given = adapter.tensors[name]
            if given.shape != tensor.shape:
                raise ModelError(
                    f"{source}: does not fit its own plans, tensor {name}: expected {tuple(tensor.shape)},"
                    f" found {tuple(given.shape)}"
                )
            tensor.copy_(given)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _file_name(name: str) -> str:
    for inner, plain in _LORA.items():
        if name.endswith(inner):
            return name.removesuffix(inner) + plain
    return saved_name(name)
