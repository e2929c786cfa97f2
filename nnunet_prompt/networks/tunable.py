"""A network of which few parameters are trained: which ones, and what its state dict holds meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.lora import DOWN, UP, add_lora, read_plain, write_plain
from nnunet_prompt.networks.spatial_adapter import add_spatial_adapter, hide_saved
from nnunet_prompt.networks.task_vector import add_support, takes_support
from nnunet_prompt.networks.tensor_names import SEG_LAYERS, SUPPORT
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS

Method = Literal["affine", "bias", "lora", "decoder", "spatial", "linear", "full", "vector"]
NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The trained parts; the output layers always are, because a new structure needs them.

    * affine: scales and shifts of the normalisation layers (Frankle et al. 2021, arXiv 2003.00152)
    * bias: every bias (Ben Zaken et al. 2022, arXiv 2106.10199)
    * lora: a term of `rank`, times `alpha / rank`, on every convolution (Hu et al. 2021; see `networks.lora`)
    * decoder: everything behind the encoder
    * spatial: two convolutions behind the decoder (see `networks.spatial_adapter`)
    * linear: nothing else (Alain and Bengio 2016, arXiv 1610.01644)
    * full: everything, to compare with
    * vector: nothing of the network; the task vectors of a support set (see `networks.task_vector`)
    """

    method: Method
    rank: int = 4
    alpha: float = 4.0


def make_tunable(network: nn.Module, tuning: Tuning) -> None:
    """Adds what the method adds, freezes all that it does not train. No logit changes.

    The state dict keeps the names of the network as it was, so that nnU-Net loads pretrained weights into it: what was
    added is left out, but inside `as_trained`. Loading weights makes what was added do nothing, and sets `has_base`.
    Raises `RefusedError` for a network that has nothing of what the method trains.
    """
    if tuning.method == "lora":
        add_lora(network, rank=tuning.rank, alpha=tuning.alpha)
    elif tuning.method == "spatial":
        add_spatial_adapter(network)
    elif tuning.method == "vector":
        if not takes_support(network):
            raise RefusedError(
                "tuning vector: this network takes no support set; train it with nnUNetTrainerPromptSupport"
            )
        add_support(network)
    chosen = _chosen(network, tuning.method)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    network.__class__ = _tunable_class(type(network))  # type: ignore[arg-type] # mypy: a type hashes
    network.has_base = network.shows_all = False  # type: ignore[assignment]


@contextmanager
def as_trained(network: nn.Module) -> Iterator[None]:
    """Inside, the state dict is that of the tuned model: LoRA folded into the weights, a spatial adapter shown."""
    network.shows_all = True  # type: ignore[assignment]
    try:
        yield
    finally:
        network.shows_all = False  # type: ignore[assignment]


def tuned_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The tensors that training changes: the trained parameters, and the running statistics of trained layers."""
    tensors = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    for name, module in network.named_modules():
        if isinstance(module, _NormBase) and _trained(module):
            tensors |= {f"{name}.{n}": b for n, b in module.named_buffers(recurse=False)}
    return tensors


def keep_statistics(network: nn.Module) -> None:
    """Takes normalisation layers out of training mode whose running statistics must stay as they are."""
    for module in network.modules():
        if isinstance(module, _NormBase) and module.track_running_stats and not _trained(module):
            module.eval()


def is_deaf(network: nn.Module) -> bool:
    """Whether the network ignores prompts for good: its prompt input channels are zero, and nothing trains them."""
    inputs = int(network.n_image_channels) + N_PROMPT_CHANNELS  # type: ignore[arg-type]
    stem: Any = next(
        m for m in network.modules() if isinstance(m, _ConvNd) and m.in_channels == inputs
    )
    learns = any(p.requires_grad for n, p in stem.named_parameters() if not n.endswith("bias"))
    return not learns and not torch.any(stem.weight[:, -N_PROMPT_CHANNELS:])


def _chosen(network: nn.Module, method: Method) -> set[str]:
    names = [n for n, _ in network.named_parameters()]
    heads = {n for n in names if n.startswith(SEG_LAYERS)}
    if method == "affine":
        chosen = {
            f"{name}.{n}"
            for name, module in network.named_modules()
            if isinstance(module, NORMALISATIONS)
            for n, _ in module.named_parameters(recurse=False)
        }
    elif method == "decoder":
        chosen = {
            n for n in names if n.startswith("decoder.") and not n.startswith("decoder.encoder.")
        }
    else:
        endings = {"bias": (".bias",), "lora": (DOWN, UP), "full": ("",)}.get(method, ())
        chosen = {n for n in names if n.endswith(endings)}
        if method == "spatial":
            chosen = {n for n in names if ".adapter." in n}
        elif method == "vector":
            chosen = {n for n in names if n.startswith(SUPPORT)}
    if method != "linear" and chosen <= heads:
        raise RefusedError(
            f"tuning {method}: this network has no such parameters but in its output layers; use another trainer"
        )
    return chosen | heads


def _trained(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and all(p.requires_grad for p in parameters)


@cache
def _tunable_class(base: type[nn.Module]) -> type[nn.Module]:
    class Tunable(base):  # type: ignore[misc, valid-type]
        has_base: bool
        shows_all: bool

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            weights = super().state_dict(*args, **kwargs)
            prefix = args[1] if len(args) > 1 else kwargs.get("prefix", "")
            write_plain(self, weights, prefix, folded=self.shows_all)
            if not self.shows_all:
                hide_saved(self, weights, prefix)
            return weights

        def _load_from_state_dict(
            self, state_dict: dict[str, Any], prefix: str, *args: Any
        ) -> None:
            read_plain(self, state_dict, prefix)
            super()._load_from_state_dict(state_dict, prefix, *args)
            self.has_base = True

    Tunable.__name__ = Tunable.__qualname__ = f"Tunable{base.__name__}"
    return Tunable
