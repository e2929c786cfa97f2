"""A base and an adapter become one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.networks.adapted import adapted_checkpoint, adapted_weights, base_network
from nnunet_prompt.networks.adapter_file import base_sha256, read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import Origin
from nnunet_prompt.networks.tensor_names import plain_names


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
    weights = plain_names(read_checkpoint(base)["network_weights"])
    tuned = adapted_weights(change, weights, source=adapter)
    if tuned is None:
        found = base_sha256(base_network(change, weights, source=adapter))
        raise ModelError(
            f"{adapter}: was trained from weights with the hash {change.base_sha256[:12]}, {base} has {found[:12]};"
            " give the checkpoint that the tuning started from"
        )
    with replacing(output) as partial:
        torch.save(adapted_checkpoint(change, tuned), partial)
    return Merged(change.tuning.method, change.tuning.method != "spatial", change.origins)
