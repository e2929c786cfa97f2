"""Predictors with a network that answers what it is told, and image files in any orientation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.networks.capability import Capability
from nnunet_prompt.prompts.channels import BOX
from nnunet_prompt.prompts.encode import PromptStyle
from nnunet_prompt.prompts.types import Box, CasePrompts, PromptSet
from nnunet_prompt.sliding_window.sliding_window import Engine
from tests.helpers.models import hand_made_dataset_json, hand_made_plans
from tests.helpers.orientations import ALL, EIGHT

TABLE = StructureTable(
    (
        Structure("cavity", 1, (1,), 500),
        Structure("wall", 2, (2, 3), 200),
        Structure("scar", 3, (3,), 2221),
    ),
    priority=("scar",),
)
# size, spacing and border of zeros along the world's superior, posterior and left axes
SIZE = {"S": 7, "P": 17, "L": 15}
SPACING = {"S": 4.0, "P": 1.5, "L": 1.25}
BORDER = {"S": (1, 0), "P": (2, 3), "L": (0, 2)}
DIRECTIONS = {"S": (0, 0, 1), "P": (0, -1, 0), "L": (-1, 0, 0)}
ORIENTATIONS = [(tuple("LPS"[a] for a in axes), signs) for axes, signs in EIGHT]
ALL_48 = [(tuple("LPS"[a] for a in axes), signs) for axes, signs in ALL]


class Answers(nn.Module):
    """Object: one prompt channel. Structures 1 to 3: the sign of the image shifted by -0.5, 0 and +0.5."""

    def __init__(self, channel: int = BOX[0], object_bias: float = 0.0) -> None:
        super().__init__()
        self.channel = channel
        self.bias = nn.Parameter(torch.tensor(object_bias))

    def forward(self, x: Tensor) -> Tensor:
        prompt = x[:, 1 + self.channel : 2 + self.channel]
        image = x[:, :1]
        return torch.cat(
            [10 * prompt - 5 + self.bias, image - 0.5 + self.bias, image, image + 0.5], 1
        )


def predictor(
    network: nn.Module | None = None,
    *,
    configuration: str = "3d_fullres",
    orientation: str = "canonical",
    transpose: tuple[int, int, int] = (0, 1, 2),
    **changes: Any,
) -> PromptPredictor:
    plans = PlansManager(hand_made_plans(transpose))
    manager = plans.get_configuration(configuration)
    table = replace(TABLE, orientation=orientation)  # type: ignore[arg-type]
    network = (network or Answers()).eval()
    model = LoadedModel(
        network=network,
        weights=({k: v.clone() for k, v in network.state_dict().items()},),
        plans=plans,
        configuration=manager,
        dataset_json=hand_made_dataset_json(table),
        table=table,
        capability=Capability(grid_spacing=tuple(manager.spacing), slice_axis=transpose.index(0)),
        mirror_axes=(),
        n_image_channels=1,
        device=torch.device("cpu"),
    )
    return PromptPredictor(replace(model, **changes))


def idle_engine() -> Engine:
    """The engine of a stand-in that answers without a network: one tile at a time on the CPU, no mirroring."""
    return Engine(nn.Identity(), (4, 4, 4), PromptStyle(), torch.device("cpu"), max_batch=1)


def stored(
    axes: tuple[str, ...] = ("L", "P", "S"),
    signs: tuple[int, ...] = (1, 1, 1),
    *,
    spacing: dict[str, float] = SPACING,
    size: dict[str, int] = SIZE,
) -> NiftiVolume:
    """A file whose axes run along `axes` (backwards where the sign is negative), with a border of zeros."""
    affine = np.eye(4)
    affine[:3, 3] = (11.0, -7.0, 30.0)
    shape = [size[a] for a in axes]
    inside = []
    for i, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[:3, i] = sign * spacing[axis] * np.array(DIRECTIONS[axis])
        before, after = BORDER[axis] if sign > 0 else BORDER[axis][::-1]
        inside.append(slice(before, size[axis] - after))
    array = np.zeros(shape, np.float32)
    array[tuple(inside)] = 1 + np.random.default_rng(0).random(array[tuple(inside)].shape)
    return NiftiVolume(Path("case_0000.nii.gz"), array, affine, None, tuple(shape))


def corner(volume: NiftiVolume) -> Box:
    """A box near one corner of what is not zero, of another length along each axis."""
    where = np.argwhere(volume.array > 0)
    low, high = where.min(0), where.max(0) + 1
    lengths = {"S": 2, "P": 5, "L": 3}
    directions = np.abs(volume.affine[:3, :3]).argmax(0)  # world axis of each file axis
    size = [lengths["LPS"[d]] for d in directions]
    lower = [int(min(a + 1, b - n)) for a, b, n in zip(low, high, size, strict=True)]
    upper = [a + n for a, n in zip(lower, size, strict=True)]
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def filled(volume: NiftiVolume, *boxes: Box) -> npt.NDArray[np.bool_]:
    mask = np.zeros(volume.shape, bool)
    for box in boxes:
        mask[tuple(slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True))] = True
    return mask


def case(*boxes: Box, label: int = 500, **changes: Any) -> CasePrompts:
    return CasePrompts({label: PromptSet(boxes=boxes)}, **changes)
