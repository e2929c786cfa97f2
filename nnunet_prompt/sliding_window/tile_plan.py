"""Which tiles to run for each label: the lattice's own where they are nearly as cheap, else the fewest. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.tiles import Boxes, Tiling, clipped, cover, holds, on_lattice

# Measured with a trained network on eight stacks of short-axis slices: one centred tile, whose pooling falls between
# other voxels, agrees with the full window to 0.960 Dice at worst, and these tiles to 0.987.
FEW = 4  # tiles of the lattice that are not worth leaving any out
ENOUGH = 0.85  # of what the full window's average is made of
LITTLE = 0.7


def plan_tiles(
    boxes: Sequence[Boxes],
    tiling: Tiling,
    known: Sequence[Sequence[Window]] = (),
    *,
    outlined: Sequence[bool] = (),
) -> list[list[Window]]:
    """The tiles to run for each label, given the boxes of its prompts; none for a label without boxes.

    The lattice's tiles that touch the prompts where they are `FEW` or at most twice as many as tiles around them: then
    the result is the full window's. Else the few of them that make up most of it (see `nearest`). Else one tile for
    all labels where it holds the prompts of all, or the fewest around each label's own. A label that is `outlined`,
    by boxes, never gets more than those: points and rough masks leave more to what the network sees around them.
    Tiles of `known` (per label) are kept where they hold all prompts of the label with their margin.
    """
    seen = [clipped(b, tiling.bounds()) for b in boxes]
    shared = cover(np.concatenate([*seen, np.zeros((0, 3, 2), np.int64)]), tiling)
    plan = []
    for label, own in enumerate(seen):
        before = list(known[label]) if label < len(known) else []
        stock = on_lattice(own, tiling)
        alone = shared if len(shared) == 1 and len(own) else cover(own, tiling)
        sure = label < len(outlined) and outlined[label]
        most = len(alone) if sure else 2 * len(alone)
        if len(stock) <= (most if sure else max(most, FEW)):
            plan.append(stock)
        elif before and holds(before, own, tiling):
            plan.append(before)
        else:
            plan.append(nearest(own, stock, tiling, most) or alone)
    return plan


def nearest(
    boxes: Boxes, lattice: Sequence[Window], tiling: Tiling, most: int
) -> list[Window] | None:
    """The fewest of the lattice's tiles that make up `ENOUGH` of the full window's average in the boxes.

    At most `most`, which then must make up more than `LITTLE` of it. None where they do not, or do not hold the boxes
    with their margin. `boxes` lie inside the volume; the tiles are in the order of their origins.
    """
    share = shares(boxes, lattice, tiling)
    chosen: list[int] = []
    total = np.zeros(len(boxes))
    while len(chosen) < min(most, len(lattice)) and (total.mean() < ENOUGH or not total.all()):
        # what is not seen yet comes first
        gain = np.where(total > 0, share, 1 + share) * (share > 0)
        gain[chosen] = -1
        chosen.append(int(gain.sum(1).argmax()))
        total += share[chosen[-1]]
    windows = [lattice[i] for i in sorted(chosen)]
    if total.mean() < LITTLE or not holds(windows, boxes, tiling):
        return None
    return windows


def shares(boxes: Boxes, windows: Sequence[Window], tiling: Tiling) -> npt.NDArray[np.float64]:
    """How much of the full window's average over each box comes from these tiles of it, (windows, boxes).

    nnU-Net's Gaussian weights are a product over the axes, and so are their sums over the lattice and their means.
    """
    result = np.ones((len(windows), len(boxes)))
    lattice = tiling.lattice()
    for axis, (first, last) in enumerate(tiling.bounds()):
        tile = tiling.tile[axis]
        steps = sorted({w.origin[axis] for w in lattice})
        place = np.arange(first, last) - np.array(steps)[:, None]
        weight = np.exp(-0.5 * ((place - tile // 2) / (tile / 8)) ** 2)
        weight *= (place >= 0) & (place < tile)
        sums = np.pad(weight / weight.sum(0), ((0, 0), (1, 0))).cumsum(1)
        low, high = boxes[:, axis, 0], boxes[:, axis, 1]
        means = (sums[:, high - first] - sums[:, low - first]) / (high - low)
        result *= means[[steps.index(w.origin[axis]) for w in windows]]
    return result
