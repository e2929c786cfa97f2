"""A base checkpoint with an adapter in it, as the checkpoint of a tuned model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError, raise_system_error
from nnunet_prompt.networks.adapter_file import Adapter, apply_adapter, base_sha256
from nnunet_prompt.networks.network import network_of
from nnunet_prompt.networks.tensor_names import HEADS, SEG_LAYERS, plain_names
from nnunet_prompt.networks.tunable import as_trained, make_tunable, tuned_tensors


def base_network(adapter: Adapter, weights: Mapping[str, Tensor], *, source: Path) -> nn.Module:
    """The network that the adapter's plans describe, with the weights of a base below newly initialised heads.

    The heads of the base may be of other structures; those of the adapter replace them. Raises `ModelError` naming
    `source`, the adapter's file, for plans that cannot be built and weights of another network.
    """
    try:
        described = adapter.about["init_args"]
        network = network_of(
            described["plans"], described["configuration"], described["dataset_json"]
        )
    except NNUNetPromptError as error:
        raise ModelError(f"{source}: its plans: {error}") from None
    except Exception as error:  # nnU-Net checks nothing, so a wrong file can end in any error
        raise_system_error(error)
        raise ModelError(f"{source}: its plans cannot be built ({error!r})") from None
    load_trunk(network, weights, source=source)
    return network


def load_trunk(network: nn.Module, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Loads all weights but the output layers, which keep what they have; raises `ModelError` where they differ."""
    trunk = {n: t for n, t in plain_names(weights).items() if not n.startswith((HEADS, SEG_LAYERS))}
    heads = {n: t for n, t in network.state_dict().items() if n.startswith(HEADS)}
    try:
        network.load_state_dict({**trunk, **heads})
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise ModelError(
            f"{source}: does not fit the base, which is another network ({line[:300]})"
        ) from None


def adapted_weights(
    adapter: Adapter, weights: Mapping[str, Tensor], *, source: Path
) -> dict[str, Tensor] | None:
    """The weights of the tuned model, LoRA folded in; None for weights that the adapter was not trained from.

    Raises `ModelError` naming `source`, the adapter's file, for one that does not fit its own plans.
    """
    network = base_network(adapter, weights, source=source)
    if base_sha256(network) != adapter.base_sha256:
        return None
    make_tunable(network, adapter.tuning)
    apply_adapter(adapter, tuned_tensors(network), source=source)
    with as_trained(network):
        folded: dict[str, Tensor] = dict(network.state_dict())
    return folded


def adapted_checkpoint(adapter: Adapter, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The content of a checkpoint of the tuned model with these weights."""
    return {"network_weights": dict(weights), **adapter.about}
