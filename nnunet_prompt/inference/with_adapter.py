"""A model folder that is used with an adapter: the structures are the adapter's, one fold is its base."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.folds import Fold
from nnunet_prompt.networks.adapted import adapted_checkpoint, adapted_weights
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint

ENDING = ".pth"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """The fold that is an adapter's base, the checkpoint of both together, and the data set that it describes."""

    fold: Fold
    checkpoint: dict[str, Any]
    dataset_json: dict[str, Any]


def adapter_path(name: Path) -> Path:
    """The file of an adapter: NAME, or NAME.pth where the name has no such ending."""
    return name if name.name.endswith(ENDING) else name.with_name(name.name + ENDING)


def with_adapter(name: Path, folds: Mapping[Fold, Path]) -> Adapted:
    """The tuned model of the one fold that the adapter was trained from.

    Raises `ModelError` where none of the folds is its base.
    """
    path = adapter_path(name)
    adapter = read_adapter(path)
    for fold, file in folds.items():
        weights = adapted_weights(adapter, read_checkpoint(file)["network_weights"], source=path)
        if weights is not None:
            described = dict(adapter.about["init_args"]["dataset_json"])
            _log.info("adapter %s (%s), trained from fold_%s", path, adapter.tuning.method, fold)
            return Adapted(fold, adapted_checkpoint(adapter, weights), described)
    found = ", ".join(str(file) for file in folds.values())
    raise ModelError(
        f"{path}: was trained from weights with the hash {adapter.base_sha256[:12]}, {found} has another: give the"
        " model that it was learned from with -m, its fold with -f and its checkpoint with -chk"
    )
