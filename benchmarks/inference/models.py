"""The models of the inference benchmark: reduced plans, a short training on phantoms, and their exports.

The network is nnU-Net's with our seven prompt channels. The training has our transform and our loss, on random patches
of half the plan's length along each axis, without further augmentation: enough for sensible masks, no more.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import CONFIGURATION, Array

from inference.phantoms import repeat
from inference.tasks import SEED, Task, Triple, coarse_spacing, plans

LEARNING_RATE = 3e-3
FOREGROUND = 2 / 3  # of the patches are centred on a structure
# clean prompts, as in the demo, and objects that enter at the border of a patch, as in the tiles that are added there
CLEAN = {
    **{"promptless": 0.2, "few": 0.0, "slices": 0.7, "scribbles": 0.0, "mask": 0.0},
    **{"continued": 0.1, "p_beside": 0.0, "p_negative_area": 0.0, "p_beyond": 0.0, "hide": False},
    **{"p_jitter": 0.0, "p_sparse": 0.0, "p_wrong": 0.0, "p_negatives": 1.0},
    **{"p_box_only": 0.0, "p_points_only": 0.0, "p_component": 0.0, "p_union": 0.0},
}


def table(task: Task) -> Any:
    from nnunet_prompt.data.structures import Structure, StructureTable

    named = enumerate(task.values.items(), 1)
    return StructureTable(
        tuple(Structure(n, k, (k,), v) for k, (n, v) in named), orientation="file"
    )


def dataset_json(task: Task) -> dict[str, Any]:
    structures = table(task)
    return {
        "channel_names": {str(i): name for i, name in enumerate(task.channels)},
        "labels": {"background": 0, **{s.name: s.label for s in structures.structures}},
        "file_ending": ".nii.gz",
        "numTraining": 1,
        "nnunet_prompt": structures.to_block(),
    }


def planned(task: Task, folder: Path, *, voxels: bool, reduced: bool) -> dict[str, Any]:
    """The plans of a task, derived as `nnunet-prompt plan` does it; `folder` is for its files."""
    from nnunet_prompt.data.plans import ReduceOptions, no_resampling_plans, reduce_plans

    made = plans(task, voxels=voxels, reduced=reduced)
    here = folder / task.dataset
    here.mkdir(parents=True, exist_ok=True)
    (here / "nnUNetPlans.json").write_text(json.dumps(made))
    os.environ["nnUNet_preprocessed"] = str(folder)  # nnU-Net reads it when it is needed
    path = here / "nnUNetPlans.json"
    if voxels:
        path = no_resampling_plans(task.dataset_id)
    if reduced:
        patch = made["configurations"][CONFIGURATION]["patch_size"]
        given = task.voxel_patch if voxels else task.cpu_patch
        most = math.prod(patch) if given else min(math.prod(patch), 64 * 128 * 128)
        path = reduce_plans(
            task.dataset_id,
            options=ReduceOptions(source=path.stem, name="benchmark", max_voxels=most),
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def train(
    task: Task, cases: list[tuple[Array, Array]], model: Path, *, voxels: bool, iterations: int
) -> dict[str, Any]:
    """Trains on synthetic cases (coarse grid) and writes a model folder of ours."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.networks.capability import Capability
    from nnunet_prompt.training.loss import PromptLoss
    from nnunet_prompt.training.mixture import PromptMixture
    from nnunet_prompt.training.trainer import PromptTrainer
    from nnunet_prompt.training.transform import CaseNote, SimulatePrompts, Targets

    cuda = torch.cuda.is_available()
    made = planned(task, model.parent / f"plans_{model.name}", voxels=voxels, reduced=not cuda)
    manager = PlansManager(made)
    settings, described = manager.get_configuration(CONFIGURATION), dataset_json(task)
    capability = Capability(
        point_metric="voxel" if voxels else "spacing", grid_spacing=tuple(settings.spacing)
    )
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - the transform draws from the global state, as nnU-Net's loaders do
    network = PromptTrainer.build_network_architecture(
        manager, settings, len(task.channels), 1 + len(task.values), False
    )
    network.to("cuda" if cuda else "cpu").train()
    transform = SimulatePrompts(
        Targets(table(task), capability.style(), replace(PromptMixture(), **CLEAN)),
        CaseNote("phantom"),
    )
    volumes = [prepared(task, case, manager, settings, described) for case in cases]
    batches = patches(volumes, _half(settings), voxels=task.coarse if voxels else None)
    loss = _fit(network, batches, transform, PromptLoss(), iterations)
    _write(model, made, described, capability, network)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "patch": list(settings.patch_size),
        "loss": loss,
        "iterations": iterations,
    }


def prepared(
    task: Task, case: tuple[Array, Array], manager: Any, settings: Any, described: dict[str, Any]
) -> tuple[Array, Array]:
    """nnU-Net's preprocessing of a synthetic case: image (C, *grid) and labels (1, *grid)."""
    official, images = case
    labels = np.zeros(official.shape, np.int8)
    for label, value in enumerate(task.values.values(), 1):
        labels[official == value] = label
    spacing = coarse_spacing(task)
    data, seg, _ = settings.preprocessor_class(verbose=False).run_case_npy(
        np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
        np.ascontiguousarray(labels.transpose(2, 0, 1))[None],
        {"spacing": [spacing[2], spacing[0], spacing[1]]},
        manager,
        settings,
        described,
    )
    return data, seg.astype(np.int8)


def patches(
    volumes: list[tuple[Array, Array]], size: Triple, *, voxels: Triple | None
) -> Iterator[tuple[Array, Array]]:
    """Random patches without end, most of them centred on a structure.

    With `voxels`, the factors by which the generated grid is coarser than the case's, half of the patches are refined
    to it, because that model meets both: the case's own voxels, and the zoomed-out view.
    """
    rng = np.random.default_rng(SEED)
    inside = [[np.argwhere(seg[0] == k) for k in np.unique(seg) if k > 0] for _, seg in volumes]
    while True:
        number = int(rng.integers(len(volumes)))
        data, seg = volumes[number]
        factors: Triple = (1, 1, 1)
        if voxels is not None and rng.random() < 0.5:
            factors = voxels[2], voxels[0], voxels[1]
        take = [-(-n // f) for n, f in zip(size, factors, strict=True)]
        centre = [int(rng.integers(n)) for n in seg.shape[1:]]
        if rng.random() < FOREGROUND:
            of_one = inside[number][int(rng.integers(len(inside[number])))]
            centre = [int(v) for v in of_one[int(rng.integers(len(of_one)))]]
        yield tuple(  # type: ignore[misc]
            repeat(_cut(array, centre, take), (1, *factors))[:, : size[0], : size[1], : size[2]]
            for array in (data, np.maximum(seg, 0))
        )


def _cut(array: Array, centre: list[int], size: list[int]) -> Array:
    """A patch (C, *size) around a voxel, moved into the volume; zero where the volume is smaller."""
    result = np.zeros((len(array), *size), array.dtype)
    source, target = [], []
    for c, n, whole in zip(centre, size, array.shape[1:], strict=True):
        low = min(max(c - n // 2, 0), max(whole - n, 0))
        used = min(n, whole)
        source.append(slice(low, low + used))
        target.append(slice(0, used))
    result[(slice(None), *target)] = array[(slice(None), *source)]
    return result


def _half(settings: Any) -> Triple:
    """Half the patch, in whole strides of the network."""
    every = np.prod(settings.pool_op_kernel_sizes, axis=0)
    a, b, c = (
        int(max(1, round(n / 2 / s)) * s) if n > 10 else int(n)
        for n, s in zip(settings.patch_size, every, strict=True)
    )
    return a, b, c


def _fit(network: Any, batches: Any, transform: Any, criterion: Any, iterations: int) -> float:
    import torch
    from tqdm import tqdm

    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=3e-5)
    recent: list[float] = []
    for step in tqdm(range(iterations), desc="training", disable=None):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / iterations) ** 0.9
        two = []
        for _ in range(2):
            data, seg = (torch.from_numpy(a.copy()) for a in next(batches))
            two.append(transform(image=data, segmentation=seg))
        image = torch.stack([t["image"] for t in two]).to(device)
        target = torch.stack([t["segmentation"] for t in two]).to(device)
        optimizer.zero_grad()
        loss = criterion(network(image), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        recent = [*recent[-19:], float(loss.detach())]
    return float(np.mean(recent))


def _write(
    model: Path, made: dict[str, Any], described: dict[str, Any], capability: Any, network: Any
) -> None:
    import torch

    from nnunet_prompt.networks.capability import write_capability

    (model / "fold_0").mkdir(parents=True, exist_ok=True)
    (model / "plans.json").write_text(json.dumps(made))
    (model / "dataset.json").write_text(json.dumps(described))
    write_capability(model, capability)
    content = {
        "network_weights": network.cpu().state_dict(),
        "init_args": {"plans": made, "configuration": CONFIGURATION, "fold": 0},
        "trainer_name": "nnUNetTrainerPrompt",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(content, model / "fold_0" / "checkpoint_final.pth")
