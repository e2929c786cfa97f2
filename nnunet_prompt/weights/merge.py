"""A base and an adapter become one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError, raise_system_error
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.networks.adapter_file import Adapter, apply_adapter, base_sha256, read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.network import network_of
from nnunet_prompt.networks.provenance import Origin
from nnunet_prompt.networks.tensor_names import plain_names
from nnunet_prompt.networks.tunable import as_trained, make_tunable, tuned_tensors


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge: the adapter's method, whether the weights are plain ones, and where they come from."""

    method: str
    plain: bool
    origins: tuple[Origin, ...]


def merge_adapter(base: Path, adapter: Path, output: Path) -> Merged:
    """Writes the checkpoint of the tuned model: the base with what the tuning changed, LoRA folded into the weights.

    It is a whole checkpoint for a model folder, and a start for the next training. A spatial adapter cannot be folded:
    it stays beside the weights, and only this package loads the checkpoint. Provenance and licence are the base's.
    Raises `ModelError` for files that are no checkpoint and no adapter, or that do not belong together.
    """
    import torch

    check_output_file(output, [base, adapter])
    change = read_adapter(adapter)
    network = _network(change, base=base, adapter=adapter)
    found = base_sha256(network)
    if found != change.base_sha256:
        raise ModelError(
            f"{adapter}: was trained from weights with the hash {change.base_sha256[:12]}, {base} has {found[:12]};"
            " give the checkpoint that the tuning started from"
        )
    make_tunable(network, change.tuning)
    apply_adapter(change, tuned_tensors(network), source=adapter)
    with as_trained(network), replacing(output) as partial:
        torch.save({"network_weights": network.state_dict(), **change.about}, partial)
    return Merged(change.tuning.method, change.tuning.method != "spatial", change.origins)


def _network(change: Adapter, *, base: Path, adapter: Path) -> nn.Module:
    """The network that the adapter's plans describe, with the weights of the base."""
    weights = plain_names(read_checkpoint(base)["network_weights"])
    try:
        described = change.about["init_args"]
        network = network_of(
            described["plans"], described["configuration"], described["dataset_json"]
        )
    except NNUNetPromptError as error:
        raise ModelError(f"{adapter}: its plans: {error}") from None
    except Exception as error:  # nnU-Net checks nothing, so a wrong file can end in any error
        raise_system_error(error)
        raise ModelError(f"{adapter}: its plans cannot be built ({error!r})") from None
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise ModelError(
            f"{base}: does not fit {adapter}, which was trained from another network ({line[:300]})"
        ) from None
    return network
