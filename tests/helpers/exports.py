"""Model folders to export: hand-made plans that nnInteractive can serve, and a network trained in seconds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.networks.capability import Capability, write_capability
from nnunet_prompt.networks.provenance import Origin, pack
from tests.helpers.models import SPACING, hand_made_dataset_json
from tests.weights.sources import plans_of

PATCH = (52, 52, 56)
TABLE = StructureTable((Structure("dim", 1, (1,), 500), Structure("bright", 2, (2,), 200)))
ORIGIN = Origin("toy v1", "nninteractive", "CC BY-NC-SA 4.0", "ab12")
VOXELS = Capability(point_metric="voxel", grid_spacing=SPACING)
CROP = (16, 16, 20)  # of the training


def servable_plans(
    kind: str = "plain", *, patch: tuple[int, int, int] = PATCH, configuration: str = "3d_fullres"
) -> dict[str, Any]:
    """Plans of one configuration that neither resample nor transpose, with nnU-Net's z-score."""
    plans = plans_of(kind, configuration=configuration)
    settings = plans["configurations"][configuration]
    for data in ("data", "seg", "probabilities"):
        settings[f"resampling_fn_{data}"] = "no_resampling_hack"
        settings[f"resampling_fn_{data}_kwargs"] = {}
    settings["patch_size"] = list(patch)
    return plans


def write_model(
    folder: Path,
    *,
    plans: dict[str, Any],
    table: StructureTable = TABLE,
    capability: Capability = VOXELS,
    origins: tuple[Origin, ...] = (),
    **changes: Any,
) -> Path:
    """A model folder of ours. `changes`: configuration, channels, folds, weights (of each fold), dataset_json."""
    import torch

    configuration = changes.get("configuration", "3d_fullres")
    described = changes.get("dataset_json") or hand_made_dataset_json(
        table, changes.get("channels", 1)
    )
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(described))
    write_capability(folder, capability)
    for number, fold in enumerate(changes.get("folds", (0,))):
        network = new_network(plans, described, configuration, seed=number)
        network.load_state_dict(changes.get("weights") or network.state_dict())
        network.provenance.copy_(pack(origins))
        (folder / f"fold_{fold}").mkdir()
        content = {
            "network_weights": network.state_dict(),
            "init_args": {"configuration": configuration, "fold": fold},
            "trainer_name": "nnUNetTrainerPrompt",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def new_network(
    plans: dict[str, Any], described: dict[str, Any], configuration: str, *, seed: int = 0
) -> Any:
    """A network of ours that was never trained; its prompt columns are not zero, and its heads are far apart."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.training.trainer import PromptTrainer

    torch.manual_seed(seed)
    manager = PlansManager(plans)
    outputs = manager.get_label_manager(described).num_segmentation_heads
    network = PromptTrainer.build_network_architecture(
        manager,
        manager.get_configuration(configuration),
        len(described["channel_names"]),
        outputs,
        False,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def scene(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """An image with a dim and a bright ball in noise, and its label map; no voxel of the image is zero."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    labels = np.zeros(shape, np.int32)
    for label, place in ((1, 0.27), (2, 0.73)):
        centre = [n * place + rng.uniform(-0.04, 0.04) * n for n in shape]
        distance = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        labels[np.asarray(distance) <= (0.24 * shape[0]) ** 2] = label
    image = 300 + 150 * labels + rng.normal(0, 20, shape)
    return image.astype(np.float32), labels


@cache
def trained_weights(iterations: int = 160) -> dict[str, Any]:
    """The state dict of a network that finds the balls, and of two balls the one that is pointed at."""
    import torch

    from nnunet_prompt.training.loss import PromptLoss

    plans, described = servable_plans(), hand_made_dataset_json(TABLE)
    with torch.random.fork_rng(devices=[]):  # whatever was drawn before
        torch.manual_seed(0)
        network = new_network(plans, described, "3d_fullres").train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-2)
    loss_of, rng = PromptLoss(), np.random.default_rng(0)
    for _ in range(iterations):
        data, target = _patch(rng)
        optimizer.zero_grad()
        loss = loss_of(network(data), target)
        loss.backward()
        optimizer.step()
    return dict(network.state_dict())


def _patch(rng: np.random.Generator) -> tuple[Any, Any]:
    """One training patch: (1, 8, *CROP) and its targets (1, 3, *CROP)."""
    import torch

    from nnunet_prompt.prompts.encode import Window, encode
    from nnunet_prompt.prompts.options import SimulationOptions
    from nnunet_prompt.prompts.simulate import simulate

    image, labels = scene(CROP, rng)
    masks = [labels == 1, labels == 2]
    chosen = int(rng.integers(2))
    kind = ("few", "mask")[int(rng.random() < 0.3)]
    options = SimulationOptions(points=bool(rng.random() < 0.6), scribbles=False)
    said = simulate(masks[chosen], rng, kind=kind, options=options)  # type: ignore[arg-type]
    channels = encode(said, Window((0, 0, 0), CROP), VOXELS.style())
    data = np.concatenate([((image - image.mean()) / image.std())[None], channels])
    target = np.stack([masks[chosen], *masks]).astype(np.int8)
    return torch.from_numpy(data)[None], torch.from_numpy(target)[None]
