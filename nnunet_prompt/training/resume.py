"""Checkpoints that a training begins from: those of --c and --val, and -pretrained_weights.

nnU-Net loads what it finds, and ends in a traceback where that is half a file or another network's; so it is checked.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.planned import Planned

FINAL, LATEST, BEST = "checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"
_NEEDED = (
    "network_weights",
    "optimizer_state",
    "init_args",
    "current_epoch",
    "logging",
    "_best_ema",
)


def to_resume_from(fold: Path) -> Path | None:
    """The checkpoint that `--c` takes in the folder of a fold, None where there is none and nnU-Net starts anew."""
    return next((fold / name for name in (FINAL, LATEST, BEST) if (fold / name).is_file()), None)


def check_resumable(path: Path) -> None:
    """Raises `ModelError` for a checkpoint that a training cannot be resumed from: cut off, or without its state."""
    from nnunet_prompt.networks.checkpoint import read_checkpoint

    others = [
        name for name in (LATEST, BEST) if (path.parent / name).is_file() and name != path.name
    ]
    way_out = f"remove it to resume from {others[0]}" if others else "train anew without --c"
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: not a whole checkpoint, as if its writing was cut off: {way_out}"
        )
    try:
        checkpoint = read_checkpoint(path, mmap=True)
    except ModelError as error:
        if "refused" in str(error):  # it holds more than tensors, as nnU-Net's own loader allows
            return
        raise ModelError(f"{error}: {way_out}") from None
    missing = [key for key in _NEEDED if key not in checkpoint]
    if missing:
        raise ModelError(
            f"{path}: has weights but no {missing[0]!r}, so no training can be resumed from it: give it as"
            " -pretrained_weights to a new one"
        )


def check_validatable(fold: Path, *, best: bool) -> None:
    """Raises `ModelError` where the checkpoint that `--val` needs is not there."""
    for name in (FINAL, BEST) if best else (FINAL,):
        if not (fold / name).is_file():
            resume = to_resume_from(fold)
            way_out = f"resume it from {resume.name} with --c" if resume else "train it first"
            raise ModelError(f"{fold / name}: no such file, the training has not ended: {way_out}")
        check_resumable(fold / name)


def check_start(path: Path, planned: Planned) -> None:
    """Raises `ModelError` for -pretrained_weights that do not fit the promptable network of the plans."""
    from nnunet_prompt.networks.checkpoint import read_checkpoint
    from nnunet_prompt.networks.experts import expert_options
    from nnunet_prompt.networks.network import network_of
    from nnunet_prompt.networks.tensor_names import PROVENANCE

    weights = read_checkpoint(path, mmap=True)["network_weights"]
    adapt = (
        f"run `nnunet-prompt weights adapt {path} -d {planned.dataset_id} -p {planned.plans_name}"
        f" -c {planned.configuration} -o start.pth` and give -pretrained_weights start.pth"
    )
    if PROVENANCE not in weights:
        raise ModelError(f"{path}: weights of a plain network, it takes no prompts: {adapt}")
    if expert_options(weights) is not None:
        raise ModelError(
            f"{path}: has experts, which a training does not start from, and the weights without them answer worse:"
            f" {adapt}"
        )
    network = network_of(planned.plans, planned.configuration, planned.dataset_json)
    wanted = network.state_dict()
    wrong = _first_misfit(weights, wanted)
    if wrong:
        raise ModelError(
            f"{path}: does not fit {planned.plans_name} {planned.configuration}: {wrong}: {adapt}"
        )


def _first_misfit(weights: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first tensor that nnU-Net's loader of pretrained weights would refuse; it leaves `.seg_layers.` alone."""
    for name, value in wanted.items():
        if ".seg_layers." in name:
            continue
        if name not in weights:
            return f"tensor {name} is missing"
        if weights[name].shape != value.shape:
            found, expected = (list(v.shape) for v in (weights[name], value))
            return f"tensor {name} has the shape {found}, expected {expected}"
    return ""
