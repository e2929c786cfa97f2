"""The task vectors of a support set: no training, one pass of the encoder over each case and structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.about import about_support
from nnunet_prompt.learn.student import case_dice, engine_of, start_network
from nnunet_prompt.learn.support import Support
from nnunet_prompt.networks.adapter_file import Adapter, base_sha256
from nnunet_prompt.networks.provenance import provenance_of
from nnunet_prompt.networks.task_vector import takes_support, task_vectors
from nnunet_prompt.networks.tunable import Tuning, make_tunable, tuned_tensors
from nnunet_prompt.prompts.checks import BoolArray

VECTOR: Final = "vector"
Window = tuple[slice, ...]


def learn_vectors(support: Support, model: LoadedModel) -> tuple[Adapter, tuple[float, ...]]:
    """The adapter, and the Dice of each case when the vectors of the others answer for it; none of one case alone.

    Memory does not grow with the number of cases. Raises `ModelError` for a model that was not trained with supports.
    """
    if not takes_support(model.network):
        raise ModelError(
            f"{model.folder}: takes no support set as task vectors, its trainer showed it none: train it with"
            " nnUNetTrainerPromptSupport, or learn another kind of adapter"
        )
    network: Any = start_network(support, support.cases, model)
    base = base_sha256(network)
    tuning = Tuning(VECTOR)
    make_tunable(network, tuning)
    network.eval()
    with progress_bar("vectors", total=len(support.cases), unit="case") as bar, torch.no_grad():
        for i, case in enumerate(support.cases):
            for k, structure in enumerate(support.table.structures):
                mask = np.isin(case.labels, structure.members)
                if mask.any():
                    network.support.vectors[i, k] = _vector(network, case.image, mask, model)
                    network.support.shown[i, k] = 1
            bar.update(1)
    about = about_support(support, model)
    dice = tuple(_left_out(network, support, model))
    about["learned"] |= {"iterations": 0, "left_out_dice": {VECTOR: list(dice)}}
    return Adapter(
        tuning=tuning,
        base_sha256=base,
        tensors=tuned_tensors(network),
        about=about,
        origins=provenance_of(model.weights[0]),
    ), dice


def _left_out(network: Any, support: Support, model: LoadedModel) -> Iterator[float]:
    """The Dice of each case without its own vectors, where another case shows a structure of it."""
    engine = engine_of(network, model)
    shown = network.support.shown.detach().bool()
    for i, case in enumerate(support.cases):
        others = torch.cat([shown[:i], shown[i + 1 :]]).any(0)
        if (others & shown[i]).any():
            with network.support.without(i):
                yield case_dice(engine, case, support)


def _vector(network: Any, image: Tensor, mask: BoolArray, model: LoadedModel) -> Tensor:
    """The mean of the vectors of patches that hold all of a mask (Z, Y, X), weighted by its voxels in them."""
    patch = tuple(int(n) for n in model.configuration.patch_size)
    total, voxels = torch.zeros(network.support.vectors.shape[-1]), 0
    for window in windows(mask, patch):
        seen = image[(slice(None), *window)]
        inside = torch.from_numpy(mask[window])[None].to(seen.dtype)
        if len(patch) == 2:
            seen, inside = seen[:, 0], inside[:, 0]
        missing = [n - have for n, have in zip(patch, seen.shape[1:], strict=True)]
        sides = [side for n in reversed(missing) for side in (n // 2, n - n // 2)]
        # zeros around it, as the sliding window has them
        seen, inside = (nn.functional.pad(x, sides)[None].to(model.device) for x in (seen, inside))
        found = task_vectors(network, seen, inside)[0].cpu()
        here = int(inside.sum())
        total, voxels = total + here * found, voxels + here
    return total / voxels


def windows(mask: BoolArray, patch: Sequence[int]) -> Iterator[Window]:
    """Windows of a patch's size, or the whole axis where it is shorter, that together hold a mask (Z, Y, X).

    Each is centred on the voxel in the middle of what is left of the mask, as patches are centred in training.
    """
    size = (1,) * (3 - len(patch)) + tuple(patch)
    left = mask.copy()
    while left.any():
        voxels = np.argwhere(left)
        far = ((voxels - np.median(voxels, axis=0)) ** 2).sum(1)
        centre = voxels[int(far.argmin())]
        lows = [
            min(max(int(c) - n // 2, 0), max(have - n, 0))
            for c, n, have in zip(centre, size, mask.shape, strict=True)
        ]
        window = tuple(
            slice(low, min(low + n, have))
            for low, n, have in zip(lows, size, mask.shape, strict=True)
        )
        yield window
        left[window] = False
