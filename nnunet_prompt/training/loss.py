"""The loss of the object head and the structure heads, with unknown voxels masked out."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

UNKNOWN = -1
_OUTSIDE = -1e4  # a logit whose sigmoid, softplus and slope are exactly zero


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
        # sums over a patch do not fit into autocast's half precision
        sums = cast(Tensor, _Sums.apply(logits.float(), target))
        if self.ddp:  # the whole batch decides what is known and how much of it, as on one device
            from nnunetv2.utilities.ddp_allgather import AllGatherGrad

            sums = cast(Tensor, AllGatherGrad.apply(sums)).sum(0)
        surprise, count, intersection, predicted, true = sums
        dice = 1 - (2 * intersection + self.smooth) / (predicted + true + self.smooth)
        heads = surprise / count.clamp(min=1.0) + dice
        annotated = (count > 0).to(sums.dtype)
        structures = (heads * annotated)[1:].sum() / annotated[1:].sum().clamp(min=1.0)
        loss: Tensor = heads[0] * annotated[0] + structures
        return loss


class _Sums(torch.autograd.Function):
    """The sums behind the loss, (5, 1 + K): cross-entropy, known voxels, intersection, predicted and true voxels.

    Its gradient is written out, which takes half the time that torch's chain of small steps does: with p the sigmoid of
    a logit and t its target, the cross-entropy grows by p - t, the intersection by t p (1 - p), the prediction by
    p (1 - p). Unknown voxels count as outside and certain of it.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        axes = [0, *range(2, logits.ndim)]
        truth = target.to(logits.dtype, copy=True)
        unknown = truth == UNKNOWN
        logits = logits.masked_fill(unknown, _OUTSIDE)
        truth.clamp_(min=0.0)
        probability = torch.sigmoid(logits)
        entropy = softplus(logits).addcmul_(logits, truth, value=-1)
        count = unknown.numel() // unknown.shape[1] - unknown.sum(axes)
        ctx.save_for_backward(probability, truth)
        true_positive = torch.mul(probability, truth, out=logits)
        return torch.stack(
            [
                entropy.sum(axes),
                count.to(logits.dtype),
                true_positive.sum(axes),
                probability.sum(axes),
                truth.sum(axes),
            ]
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        probability, truth = ctx.saved_tensors
        heads = gradient.reshape(5, 1, -1, *[1] * (truth.ndim - 2))
        slope = torch.addcmul(heads[3], truth, heads[2])
        slope.mul_(probability).addcmul_(slope, probability, value=-1)
        return slope.addcmul_(probability - truth, heads[0]), None
