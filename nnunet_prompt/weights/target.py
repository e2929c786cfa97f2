"""The network that a data set's plans describe, as our trainer builds it: what weights are adapted to.

nnU-Net's trainer is not imported for it: with all that it needs it takes more memory than the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.plans import preprocessed_folder
from nnunet_prompt.data.structures import (
    Structure,
    structures_from_dataset_json,
    without_cases,
)
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.networks.tensor_names import PROVENANCE
from nnunet_prompt.weights.source_model import channels_of, settings_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A freshly initialised promptable network and what describes it.

    `fresh` is its state dict. Of the encoder only the shapes are kept (torch's device "meta"), because every source
    brings one. `aliases` lists the names of each tensor; nnU-Net's networks store most under several.
    """

    fresh: Mapping[str, Tensor]
    aliases: tuple[tuple[str, ...], ...]
    dataset_id: int
    plans: Mapping[str, Any]
    configuration: str
    settings: Mapping[str, Any]
    dataset_json: Mapping[str, Any]
    structures: tuple[Structure, ...]

    @property
    def plans_name(self) -> str:
        return str(self.plans.get("plans_name", ""))

    @property
    def channel_names(self) -> tuple[str, ...]:
        return channels_of(self.dataset_json)

    @property
    def architecture(self) -> Mapping[str, Any]:
        kwargs: Mapping[str, Any] = self.settings["architecture"]["arch_kwargs"]
        return kwargs

    def init_args(self) -> dict[str, Any]:
        """The metadata in nnU-Net's checkpoints."""
        return {
            "plans": dict(self.plans),
            "configuration": self.configuration,
            "fold": None,
            "dataset_json": without_cases(self.dataset_json),
        }


def open_target(dataset_id: int, plans_name: str, configuration: str) -> Target:
    """Builds the network of a planned data set. Raises `DatasetError` and `ModelError`."""
    folder = preprocessed_folder(dataset_id)
    plans = read_planned(folder / f"{plans_name}.json", dataset_id)
    dataset_json = read_planned(folder / "dataset.json", dataset_id)
    return target_of(plans, configuration, dataset_json, dataset_id=dataset_id)


def target_of(
    plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any], *, dataset_id: int = 0
) -> Target:
    """Builds the network of a configuration. Raises `DatasetError` and `ModelError`."""
    from nnunet_prompt.networks.network import build_network

    where = Path(str(plans.get("plans_name", "plans")))
    settings = settings_of(plans, configuration, where)
    structures = structures_from_dataset_json(dataset_json).structures
    channels = len(channels_of(dataset_json))
    if not channels:
        raise DatasetError("dataset.json: channel_names is empty, expected one name per image")
    weights = build_network(
        settings["architecture"], channels, 1 + len(structures), deep_supervision=True
    ).state_dict()
    groups: dict[tuple[int, int], list[str]] = {}
    for name, value in weights.items():
        if name != PROVENANCE:
            groups.setdefault((value.data_ptr(), value.numel()), []).append(name)
    return Target(
        fresh={n: v.to("meta") if "encoder." in n else v for n, v in weights.items()},
        aliases=tuple(map(tuple, groups.values())),
        dataset_id=dataset_id,
        plans=plans,
        configuration=configuration,
        settings=settings,
        dataset_json=dataset_json,
        structures=structures,
    )


def read_planned(path: Path, dataset_id: int) -> dict[str, Any]:
    """A JSON file beside the preprocessed data of a data set. Raises `DatasetError`."""
    first = f"run `nnUNetv2_plan_and_preprocess -d {dataset_id}` first, or name other plans with -p"
    return read_object(path, DatasetError, missing=first)
