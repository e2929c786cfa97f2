"""The measures of a trainer on validation patches: the structures as nnU-Net does it, and the object beside them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, autocast

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.training.checked import CheckedTrainer
from nnunet_prompt.training.logger import OBJECT, is_best_object, log_object
from nnunet_prompt.training.loss import UNKNOWN

# nnU-Net's checkpoint_best.pth is that of the structures
BEST_OBJECT = "checkpoint_best_object.pth"


class MeasuredTrainer(CheckedTrainer):
    """Counts every head by itself, logs the object's Dice, and keeps the checkpoint that is best at it."""

    table: StructureTable

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's counts for its fake Dice of each structure, and those of the object as `object` beside them."""
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"]
        target = target if isinstance(target, list) else [target]
        target = [t.to(self.device, non_blocking=True) for t in target]
        with autocast("cuda", enabled=self.device.type == "cuda"):
            output = self.network(data)
            loss = self.loss(output, target if self.enable_deep_supervision else target[0])
        logits = output[0] if self.enable_deep_supervision else output
        counts = _hard_counts(logits, target[0])
        tp, fp, fn = (c.cpu().numpy() for c in counts)
        return {
            "loss": loss.detach().cpu().numpy(),
            "tp_hard": tp[1:],
            "fp_hard": fp[1:],
            "fn_hard": fn[1:],
            "object": np.array([tp[0], fp[0], fn[0]]),
        }

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            # 0 / 0: a structure that no validation patch showed; it stays out of the mean
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            super().on_validation_epoch_end(val_outputs)
        moving = self.logger.get_value("ema_fg_dice", step=None)
        if np.isnan(moving[-1]):  # an epoch that showed nothing at all shows nothing, now or later
            moving[-1] = moving[-2] if len(moving) > 1 else 0.0
        counts = np.sum([output["object"] for output in val_outputs], axis=0)
        log_object(self.logger, counts, self.current_epoch, ddp=self.is_ddp)

    def on_epoch_end(self) -> None:
        structures = self.logger.get_value("dice_per_class_or_region", step=-1)
        found = self.logger.get_value(OBJECT, step=-1)
        told = ", ".join(
            f"{s.name} {d:.4f}" for s, d in zip(self.table.structures, structures, strict=True)
        )
        self.print_to_log_file(
            f"Pseudo Dice without prompts: {told}; of the object, with prompts: {found:.4f}"
        )
        best = is_best_object(self.logger)
        super().on_epoch_end()
        if best:
            self.current_epoch -= 1  # nnU-Net counts on before it saves nothing more
            self.save_checkpoint(str(Path(self.output_folder) / BEST_OBJECT))
            self.current_epoch += 1


def _hard_counts(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """True positives, false positives and false negatives per head, over the known voxels of a batch."""
    axes = [0, *range(2, logits.ndim)]
    known, true, predicted = target != UNKNOWN, target == 1, logits > 0
    return (
        (predicted & true).sum(axes),
        (predicted & ~true & known).sum(axes),
        (~predicted & true).sum(axes),
    )
