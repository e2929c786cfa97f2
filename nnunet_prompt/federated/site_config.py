"""What a site knows of itself: its name, data and base. None of it comes from the server. Needs nothing but Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from nnunet_prompt.common.errors import RefusedError


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The data and the base of a site, in nnU-Net's words.

    * site: its name, part of its seed and of its messages
    * dataset, configuration, fold, plans, trainer, device: as `nnunet-prompt train` takes them
    * base: the checkpoint that all sites start from
    """

    site: str
    dataset: str
    base: Path
    configuration: str = "3d_fullres"
    fold: int = 0
    plans: str = "nnUNetPlans"
    trainer: str = "nnUNetTrainerPromptLoRA"
    device: str = "cpu"

    def as_flower(self) -> str:
        """The same for `flower-supernode --node-config`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["base"] = str(self.base.resolve())
        return " ".join(f"{name}={json.dumps(value)}" for name, value in values.items())

    @classmethod
    def from_flower(cls, config: Mapping[str, object]) -> NodeConfig:
        """The inverse. Raises `RefusedError` where a name, the data or the base is missing."""
        for key in ("site", "dataset", "base"):
            if not str(config.get(key, "")).strip():
                raise RefusedError(
                    f"federation, this site: expected {key}, found none; give it to `nnunet-prompt federate client`"
                )
        known = {f.name for f in fields(cls)} & config.keys()
        texts = {name: str(config[name]) for name in known - {"base", "fold"}}
        fold = int(str(config.get("fold", 0)))
        return cls(base=Path(str(config["base"])), fold=fold, **texts)
