"""nnU-Net's network with seven more input channels, and what it does when nobody gives it prompts."""

from __future__ import annotations

import math
import pydoc
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.experts import is_of_experts, read_experts
from nnunet_prompt.networks.provenance import pack
from nnunet_prompt.networks.spatial_adapter import read_saved, write_saved
from nnunet_prompt.networks.task_vector import is_of_task_vectors, read_task_vectors
from nnunet_prompt.networks.tensor_names import HEADS, PROVENANCE, SEG_LAYERS, rename_start
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
PRIOR = 0.05
PROMPT_SCALE = 0.3


def build_network(
    architecture: Mapping[str, Any],
    n_image_channels: int,
    n_heads: int,
    *,
    deep_supervision: bool,
) -> nn.Module:
    """The promptable network of plans, freshly initialised: nnU-Net's with seven more input channels.

    `architecture` is that of a configuration in plans.json (network_class_name, arch_kwargs, _kw_requires_import).
    `n_heads` counts all outputs, the object's included. The only place that builds one: training, inference, adapting
    and merging weights come here. Raises `ModelError` for plans that would have anything else run than networks.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    _check_parts(architecture)
    network: nn.Module = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        n_image_channels + N_PROMPT_CHANNELS,
        n_heads,
        allow_init=True,
        deep_supervision=deep_supervision,
    )
    start_from_images(network, n_image_channels)
    return make_promptable(network, n_image_channels)


def network_for(
    manager: Any, configuration: Any, dataset_json: dict[str, Any], *, deep_supervision: bool
) -> tuple[nn.Module, int]:
    """The freshly initialised network of nnU-Net's plans and configuration managers, and its image channels."""
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

    channels = int(determine_num_input_channels(manager, configuration, dataset_json))
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    architecture = configuration.configuration["architecture"]
    network = build_network(architecture, channels, heads, deep_supervision=deep_supervision)
    return network, channels


def network_of(
    plans: Mapping[str, Any], configuration: str, dataset_json: Mapping[str, Any]
) -> nn.Module:
    """The network that training starts with from plans and a data set, freshly initialised."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(dict(plans))
    chosen = manager.get_configuration(configuration)
    return network_for(manager, chosen, dict(dataset_json), deep_supervision=True)[0]


def _check_parts(architecture: Mapping[str, Any]) -> None:
    """Raises `ModelError` if plans name anything but kinds of `nn.Module`: nnU-Net would import and call it."""
    kwargs = architecture["arch_kwargs"]
    names = [kwargs.get(key) for key in architecture["_kw_requires_import"]]
    for name in (architecture["network_class_name"], *names):
        named = pydoc.locate(name) if isinstance(name, str) else None
        if named is not None and not (isinstance(named, type) and issubclass(named, nn.Module)):
            raise ModelError(
                f"refused: they name {name!r} as a part of the network, expected a kind of torch.nn.Module, as"
                " building it would run it"
            )


def make_promptable(network: nn.Module, n_image_channels: int) -> nn.Module:
    """Lets a network with `n_image_channels + 7` inputs also take images alone.

    Its state dict calls the output layers `heads.*` and holds the buffer `provenance`, so that nnU-Net's loader of
    pretrained weights takes both; it is loaded from a state dict with nnU-Net's names as well (see
    `networks.tensor_names`).

    Stock `nnUNetv2_predict` knows no prompts. Given images alone, the prompt channels are zero and output 0 is a
    logit of zero instead of the object: nnU-Net's argmax then picks the most probable structure above one half, and
    the background elsewhere. (Overlapping structures need our predictor, which decodes them by their priority.)
    """
    network.__class__ = _promptable_class(type(network))  # type: ignore[arg-type] # mypy: a type hashes
    network.n_image_channels = n_image_channels  # type: ignore[assignment]
    network.register_buffer(PROVENANCE, pack(()))
    return network


def start_from_images(network: nn.Module, n_image_channels: int) -> None:
    """Initialises a new network so that training begins where plain nnU-Net begins.

    The stem's image channels get the scale they would have without prompt channels. The prompt channels keep
    `PROMPT_SCALE` of nnU-Net's own: with zero, short trainings hardly learn to be pointed at; with all of it, they
    learn the structures worse where nothing is pointed at. (Adapted weights start from zero instead, because they have
    something to lose.) Every head starts from a probability of 0.05 (Lin et al. 2017, section 3.3), because nearly
    every voxel is outside. All of it is the same for all aliases under which a network stores these tensors.
    """
    inputs = n_image_channels + N_PROMPT_CHANNELS
    stem = _stem(network, n_image_channels)
    heads = [m for m in network.decoder.seg_layers if isinstance(m, CONVOLUTIONS)]  # type: ignore[union-attr]
    with torch.no_grad():
        stem.weight[:, :n_image_channels] *= math.sqrt(inputs / n_image_channels)
        stem.weight[:, n_image_channels:] *= PROMPT_SCALE
        for head in heads:
            if head.bias is not None:
                head.bias.fill_(-math.log(1 / PRIOR - 1))


def silence_channels(network: nn.Module, n_image_channels: int, shown: Sequence[bool]) -> None:
    """Sets the columns of prompt channels that training never shows to zero, where they stay, in place.

    A channel that was never filled would else answer with what chance gave it. `shown` has one entry per prompt
    channel.
    """
    stem = _stem(network, n_image_channels)
    with torch.no_grad():
        for channel, known in enumerate(shown):
            if not known:
                stem.weight[:, n_image_channels + channel] = 0.0


def heard_channels(network: nn.Module, n_image_channels: int) -> tuple[bool, ...]:
    """Whether each prompt channel reaches the network at all: whether its columns are not all zero."""
    columns = _stem(network, n_image_channels).weight.detach()[:, n_image_channels:]
    return tuple(bool(columns[:, channel].any()) for channel in range(N_PROMPT_CHANNELS))


def _stem(network: nn.Module, n_image_channels: int) -> Any:
    inputs = n_image_channels + N_PROMPT_CHANNELS
    return next(
        m for m in network.modules() if isinstance(m, CONVOLUTIONS) and m.in_channels == inputs
    )


@cache
def _promptable_class(base: type[nn.Module]) -> type[nn.Module]:
    class Promptable(base):  # type: ignore[misc, valid-type]
        n_image_channels: int
        provenance: Tensor
        # False: the state dict is that of the network without experts and task vectors
        shows_added = True

        def forward(self, x: Tensor) -> Any:
            if x.shape[1] != self.n_image_channels:
                return super().forward(x)
            silence = x.new_zeros((x.shape[0], N_PROMPT_CHANNELS, *x.shape[2:]))
            output = super().forward(torch.cat([x, silence], dim=1))
            if isinstance(output, (list, tuple)):
                return [_background_first(o) for o in output]
            return _background_first(output)

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            weights = super().state_dict(*args, **kwargs)
            prefix = args[1] if len(args) > 1 else kwargs.get("prefix", "")
            rename_start(weights, prefix + SEG_LAYERS, prefix + HEADS)
            # last, so that nnU-Net's loader reports of a stock checkpoint that its stem has another shape
            weights[prefix + PROVENANCE] = weights.pop(prefix + PROVENANCE)
            write_saved(self, weights, prefix)
            if not self.shows_added:
                for name in [n for n in weights if _is_added(n.removeprefix(prefix))]:
                    del weights[name]
            return weights

        def _load_from_state_dict(
            self, state_dict: dict[str, Any], prefix: str, *args: Any
        ) -> None:
            """torch calls it before it loads the children from the same dict, which is a copy of the caller's."""
            read_saved(self, state_dict, prefix)
            read_experts(self, state_dict, prefix)
            read_task_vectors(self, state_dict, prefix)
            rename_start(state_dict, prefix + HEADS, prefix + SEG_LAYERS)
            state_dict.setdefault(prefix + PROVENANCE, self.provenance)
            super()._load_from_state_dict(state_dict, prefix, *args)

    Promptable.__name__ = Promptable.__qualname__ = f"Promptable{base.__name__}"
    return Promptable


def _is_added(name: str) -> bool:
    return is_of_experts(name) or is_of_task_vectors(name)


def _background_first(logits: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(logits[:, :1]), logits[:, 1:]], dim=1)
