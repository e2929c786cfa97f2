"""The capability file of a model folder: the prompts that a model answers to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nnunet_prompt.common.errors import ModelError, PromptError
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.prompts.channels import BOX, CHANNEL_NAMES, MASK, POINT, SCRIBBLE, signed
from nnunet_prompt.prompts.encode import PointShape, PromptStyle, style_for
from nnunet_prompt.prompts.types import PromptSet

CAPABILITY_FILE = "prompt_capability.json"
CAPABILITY_VERSION = 1
PointMetric = Literal["spacing", "voxel"]


@dataclass(frozen=True, slots=True)
class Capability:
    """How prompts are drawn for a network. Raises `ValueError` for values out of range."""

    point_shape: PointShape = "edt"
    point_radius: float = 4.0  # voxels
    scribble_radius: float = 1.0  # voxels
    # "spacing": the radius shrinks along coarse axes; "voxel": it does not
    point_metric: PointMetric = "spacing"
    grid_spacing: tuple[float, ...] = (1.0, 1.0, 1.0)  # mm; two numbers for a 2d configuration
    slice_axis: int = 0  # axis of the grid through the slices
    # factor by which each newer prompt weakens the older ones; 1: none
    interaction_decay: float = 1.0
    # what lies outside the image, in nnInteractive's words
    pad_mode_image: Literal["constant"] = "constant"
    unsupported: tuple[
        str, ...
    ] = ()  # prompt channels that neither training nor the loaded weights know
    mixture: Mapping[str, Any] | None = None  # how often training showed what; None: unknown
    one_component: tuple[
        str, ...
    ] = ()  # structures that are one in every label map of the training

    def __post_init__(self) -> None:
        radii = (self.point_radius, self.scribble_radius)
        checks = {
            "point_shape": self.point_shape in get_args(PointShape),
            "point_metric": self.point_metric in get_args(PointMetric),
            "point_radius and scribble_radius": all(math.isfinite(r) and r > 0 for r in radii),
            "grid_spacing": len(self.grid_spacing) in (2, 3)
            and all(math.isfinite(s) and s > 0 for s in self.grid_spacing),
            "slice_axis": self.slice_axis in (0, 1, 2),
            "interaction_decay": 0 < self.interaction_decay <= 1,
            "pad_mode_image": self.pad_mode_image == "constant",
            "unsupported": set(self.unsupported) <= set(CHANNEL_NAMES),
            "one_component": all(isinstance(name, str) for name in self.one_component),
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"{name} is out of range")

    def style(self) -> PromptStyle:
        """The style that `encode` needs on this model's grid."""
        two_d = len(self.grid_spacing) == 2
        spacing = (1.0, *self.grid_spacing) if two_d else self.grid_spacing
        if self.point_metric == "voxel":
            spacing = (1.0, 1.0, 1.0)
        return style_for(
            spacing,
            point_shape=self.point_shape,
            radius=self.point_radius,
            scribble_radius=self.scribble_radius,
            in_plane=two_d,
        )

    def check_supported(self, prompts: PromptSet, label: int) -> None:
        """Raises `PromptError` for a prompt in a channel that the model was never shown."""
        for channel in filled_channels(prompts):
            name = CHANNEL_NAMES[channel]
            if name in self.unsupported:
                known = ", ".join(n for n in CHANNEL_NAMES if n not in self.unsupported) or "none"
                raise PromptError(
                    f"label {label}: this model was never shown prompts of the kind {name!r} and would ignore them;"
                    f" it knows {known}. Give one of these, or train with a mixture that shows {name!r}"
                )


def filled_channels(prompts: PromptSet) -> list[int]:
    """The prompt channels that a prompt set writes to, in their order."""
    filled = {MASK} if prompts.mask is not None and prompts.mask.any() else set()
    if prompts.negative_mask is not None and prompts.negative_mask.any():
        filled.add(signed(BOX, False))
    for channels, given in ((BOX, prompts.boxes), (POINT, prompts.points)):
        filled |= {signed(channels, one.positive) for one in given}
    filled |= {signed(SCRIBBLE, one.positive) for one in prompts.scribbles}
    return sorted(filled)


def write_capability(folder: Path, capability: Capability) -> None:
    """Writes the capability file of a model folder."""
    write_json(folder / CAPABILITY_FILE, capability_to_json(capability))


def capability_to_json(capability: Capability) -> dict[str, Any]:
    """The content of the capability file."""
    return {
        "version": CAPABILITY_VERSION,
        "prompt_channels": list(CHANNEL_NAMES),
        **asdict(capability),
    }


def read_capability(folder: Path) -> Capability:
    """Reads the capability file. Raises `ModelError` where it is missing or not in the form above."""
    path = folder / CAPABILITY_FILE
    missing = (
        f"{folder} is not a model folder of a promptable trainer (expected the folder that holds"
        " plans.json and fold_0)"
    )
    return capability_from(read_object(path, ModelError, missing=missing), str(path))


def check_is_model(folder: Path) -> None:
    """Raises `ModelError` at once for a folder that holds no model at all, and for a damaged capability file."""
    if folder.is_file():
        raise ModelError(
            f"{folder}: is a file, expected the folder that holds plans.json and fold_0"
        )
    if (folder / CAPABILITY_FILE).exists() or not (folder / "plans.json").exists():
        read_capability(folder)


def capability_from(content: Any, where: str) -> Capability:
    """The capability of what such a file holds; `where` it stands is for the `ModelError` of anything else."""
    try:
        known = dict(content)
        version = known.pop("version")
        channels = known.pop("prompt_channels")
        names = ("grid_spacing", "unsupported", "one_component")
        lists = {key: tuple(known[key]) for key in names if key in known}
        capability = Capability(**{**known, **lists})
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{where}: not a capability file ({error!r})") from None
    if version != CAPABILITY_VERSION or tuple(channels) != CHANNEL_NAMES:
        raise ModelError(
            f"{where}: version {version} with the channels {channels}; this package serves version"
            f" {CAPABILITY_VERSION} with {list(CHANNEL_NAMES)}"
        )
    return capability
