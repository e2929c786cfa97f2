"""nnU-Net's log of a training, which separates the two things that our network learns.

`mean_fg_dice` and `ema_fg_dice`, nnU-Net's words, are of the structures in samples without prompts; `object_dice` and
`ema_object_dice` of the object in samples with prompts. They are never pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunet_prompt.common.figures import figure_style
from nnunet_prompt.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OBJECT, OBJECT_EMA = "object_dice", "ema_object_dice"
STRUCTURES, STRUCTURES_EMA = "mean_fg_dice", "ema_fg_dice"
MOMENTUM = 0.9  # nnU-Net's


class PromptLogger(LocalLogger):
    """nnU-Net's logger with the object's Dice beside that of the structures, in checkpoints and in progress.png."""

    def __init__(self, verbose: bool = False) -> None:
        super().__init__(verbose)
        self.my_fantastic_logging: dict[str, list[Any]] = {
            **self.my_fantastic_logging,
            OBJECT: [],
            OBJECT_EMA: [],
        }

    def load_checkpoint(self, checkpoint: dict[str, list[Any]]) -> None:
        """Takes the log of a checkpoint; one of an older version knows no Dice of the object."""
        unknown = [float("nan")] * len(checkpoint[STRUCTURES])
        super().load_checkpoint({OBJECT: list(unknown), OBJECT_EMA: unknown, **checkpoint})

    def plot_progress_png(self, output_folder: str) -> None:
        """progress.png: losses and both Dice curves, seconds of the epochs, learning rate."""
        with figure_style(), replacing(Path(output_folder) / "progress.png") as partial:
            draw_progress(self.my_fantastic_logging).savefig(partial, format="png")


def draw_progress(log: Mapping[str, Sequence[Any]]) -> Figure:
    """The figure of progress.png, from the log's values of each epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = range(min(len(values) for values in log.values()))
    figure = Figure(figsize=(12, 18), layout="constrained")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1)
    for key, colour, name in (
        ("train_losses", "b", "loss_tr"),
        ("val_losses", "r", "loss_val"),
    ):
        top.plot(epochs, [log[key][e] for e in epochs], colour, label=name)
    right = top.twinx()
    for mean, moving, colour, name in (
        (STRUCTURES, STRUCTURES_EMA, "g", "structures, no prompt"),
        (OBJECT, OBJECT_EMA, "m", "object, prompts"),
    ):
        right.plot(epochs, [log[mean][e] for e in epochs], f"{colour}:")
        label = f"pseudo Dice: {name} (mov. avg.)"
        right.plot(epochs, [log[moving][e] for e in epochs], f"{colour}-", label=label)
    top.set(xlabel="epoch", ylabel="loss")
    right.set(ylabel="pseudo Dice", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=2)
    begun, ended = log["epoch_start_timestamps"], log["epoch_end_timestamps"]
    middle.plot(epochs, [ended[e] - begun[e] for e in epochs], "b")
    middle.set(xlabel="epoch", ylabel="epoch duration [s]", ylim=(0, None))
    bottom.plot(epochs, [log["lrs"][e] for e in epochs], "b")
    bottom.set(xlabel="epoch", ylabel="learning rate")
    return figure


def log_object(
    logger: Any, counts: npt.NDArray[np.integer[Any]], epoch: int, *, ddp: bool = False
) -> None:
    """Logs the object's Dice of an epoch, from its true positives, false positives and false negatives, and its moving
    average; an epoch that showed no object repeats the last. Under DDP the counts of all devices are added up.
    """
    if ddp:
        from torch import distributed

        everyone: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(everyone, counts)
        counts = np.sum(everyone, axis=0)
    tp, fp, fn = (int(c) for c in counts)
    dice = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")
    before = logger.get_value(OBJECT_EMA, step=None)
    last = before[epoch - 1] if epoch and len(before) >= epoch else float("nan")
    moving = MOMENTUM * last + (1 - MOMENTUM) * dice
    if np.isnan(moving):
        moving = last if np.isnan(dice) else dice
    logger.log(OBJECT, dice, epoch)
    logger.log(OBJECT_EMA, moving, epoch)


def is_best_object(logger: Any) -> bool:
    """Whether the last epoch has the highest moving average of the object's Dice so far."""
    *before, last = logger.get_value(OBJECT_EMA, step=None)
    return bool(np.isfinite(last)) and all(not value >= last for value in before)
