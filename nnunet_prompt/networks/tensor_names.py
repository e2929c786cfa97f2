"""How tensors are called: in our checkpoints, in nnU-Net's, and behind the prefixes that wrappers put in front.

nnU-Net's loader of pretrained weights drops every tensor whose name holds `.seg_layers.`. Our checkpoints therefore
store the output layers as `heads.0.weight` ... instead of `decoder.seg_layers.0.weight` ..., and beside them a buffer
`provenance`. A network of ours reads both names (`networks.network`).
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final, TypeVar

HEADS: Final = "heads."
SEG_LAYERS: Final = "decoder.seg_layers."
PROVENANCE: Final = "provenance"
SPATIAL_ADAPTER: Final = (
    "spatial_adapter."  # of `networks.spatial_adapter`, with the output layer behind it
)
EXPERTS: Final = ".experts."  # of `networks.experts`, in the middle of a name
ROUTER: Final = "router."
MODULATION: Final = ".modulation."  # of `networks.task_vector`, in the middle of a name
SUPPORT: Final = "support."
WRAPPERS: Final = ("module.", "_orig_mod.")  # DDP and torch.compile

Value = TypeVar("Value")


def saved_name(name: str) -> str:
    """The name of a tensor in our checkpoints, from its name in nnU-Net's network."""
    return HEADS + name.removeprefix(SEG_LAYERS) if name.startswith(SEG_LAYERS) else name


def stock_name(name: str) -> str:
    """The name of a tensor in nnU-Net's network, from its name in our checkpoints."""
    return SEG_LAYERS + name.removeprefix(HEADS) if name.startswith(HEADS) else name


def stock_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Our weights under the names of nnU-Net's network, without the provenance; other weights as they are."""
    return {stock_name(name): value for name, value in weights.items() if name != PROVENANCE}


def plain_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Names without what DDP and torch.compile put in front, in any order."""
    return {_unwrapped(name): value for name, value in weights.items()}


def rename_start(weights: MutableMapping[str, Value], old: str, new: str) -> None:
    """Gives all names that begin with `old` the beginning `new`; in place. They move behind the others."""
    for name in [n for n in weights if n.startswith(old)]:
        weights[new + name.removeprefix(old)] = weights.pop(name)


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        for prefix in WRAPPERS:
            name = name.removeprefix(prefix)
    return name
