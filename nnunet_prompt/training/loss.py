"""The loss of the object head and the structure heads, with unknown voxels masked out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

UNKNOWN = -1


class PromptLoss(nn.Module):
    """Object term + mean over the annotated structure heads, each term binary cross-entropy + soft Dice.

    Logits are `(B, 1 + K, ...)`, targets int8 of the same shape with 1 inside, 0 outside and -1 where it is unknown.
    Unknown voxels change neither the loss nor its gradient. A head without a known voxel in the batch drops out of
    the mean, so a case that annotates one structure of fourteen weighs as much as one that annotates all.

    Both are taken over the batch, and over all devices under DDP. Dice is 1 - (2 I + s) / (P + T + s), with s = 1 so
    that a batch without foreground still has a gradient.
    """

    def __init__(self, *, smooth: float = 1.0, ddp: bool = False) -> None:
        super().__init__()
        self.smooth = smooth
        self.ddp = ddp

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits = logits.float()  # sums over a patch do not fit into autocast's half precision
        axes = [0, *range(2, logits.ndim)]
        known = target != UNKNOWN  # (B, 1+K, ...)
        truth = (target == 1).to(logits.dtype)
        entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none")
        probability = torch.where(known, torch.sigmoid(logits), 0.0)
        sums = torch.stack(
            [
                torch.where(known, entropy, 0.0).sum(axes),
                known.sum(axes).to(logits.dtype),
                (probability * truth).sum(axes),
                probability.sum(axes),
                truth.sum(axes),
            ]
        )  # (5, 1+K)
        if self.ddp:  # the whole batch decides what is known and how much of it, as on one device
            from nnunetv2.utilities.ddp_allgather import AllGatherGrad

            sums = cast(Tensor, AllGatherGrad.apply(sums)).sum(0)
        surprise, count, intersection, predicted, true = sums
        dice = 1 - (2 * intersection + self.smooth) / (predicted + true + self.smooth)
        heads = surprise / count.clamp(min=1.0) + dice
        annotated = (count > 0).to(logits.dtype)
        structures = (heads * annotated)[1:].sum() / annotated[1:].sum().clamp(min=1.0)
        loss: Tensor = heads[0] * annotated[0] + structures
        return loss
