"""Prompt-consistent decoding: what a prompt states holds in the mask, as far as the network's own logits can show it.

A positive point or scribble ends inside its label's mask, a negative one outside, and a label with something positive
is never empty. Nothing is painted: what is added or taken away are connected parts of the network's logits. All arrays
are on the grid; `settle_points` then sees to the very voxels on the file's grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from nnunet_prompt.inference.components import not_pointed_at
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.prompts.encode import PromptStyle, path_voxels
from nnunet_prompt.prompts.frames import AxisMap
from nnunet_prompt.prompts.types import CasePrompts, PromptSet
from nnunet_prompt.sliding_window.canvas import NOTHING, LabelLogits
from nnunet_prompt.sliding_window.tiles import Boxes

Voxels = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
UNBELIEVABLE = (
    -4.0
)  # a probability of 0.02: below it a positive point gets its own voxel and nothing more
STEP = 1.0  # of the logit: what else belongs to the peak of a label that would be empty
SURE = 0.5  # the least logit of what is added
ROUNDING = 1e-3  # logits closer than this are equal: tiles in another order add up to others in the last digits


def make_consistent(
    answers: Sequence[LabelLogits],
    prompts: Sequence[PromptSet],
    boxes: Sequence[Boxes],
    style: PromptStyle,
) -> list[LabelLogits]:
    """The logits of labels, changed where they contradict the prompts of their label.

    `prompts` are each label's own on the grid, masks aside; `boxes` (K, 3, 2) hold its positive prompts. A label of
    which nothing was computed stays as it is.
    """
    changed = [
        replace(one, logits=torch.from_numpy(_of_one(one, said, here, style)))
        if one.logits.numel()
        else one
        for one, said, here in zip(answers, prompts, boxes, strict=True)
    ]
    for index, one in enumerate(changed):
        if one.logits.numel() and len(boxes[index]):
            _let_win(one, [other for i, other in enumerate(changed) if i != index])
    return changed


def keep_pointed_at(found: LabelLogits, boxes: Boxes) -> LabelLogits:
    """The logits of a label that is one component, without the parts that its positive prompts, held by `boxes`
    (K, 3, 2), do not touch; if they touch none, without all but the largest.
    """
    if not found.logits.numel():
        return found
    logits: Logits = found.logits.numpy()
    apart = not_pointed_at(logits > 0, boxes - np.array(found.origin)[None, :, None])
    if apart is None:
        return found
    kept = np.where(apart, -np.maximum(np.abs(logits), SURE), logits)
    return replace(found, logits=torch.from_numpy(kept))


def settle_points(labels: LabelMap, prompts: CasePrompts, to_array: AxisMap) -> None:
    """Sets the voxels of positive points and scribbles to their label and clears those of negative ones, in place.

    `to_array` leads from the frame of the prompts to the label map. Where a rule states in which slices a label may
    appear, it goes before.
    """
    for label, said in prompts.labels.items():
        for positive in (False, True):
            voxels = _voxels(said, positive)
            if prompts.slices is not None:
                allowed = [
                    label in prompts.slices.get(int(v[prompts.slice_axis]), frozenset())
                    for v in voxels
                ]
                voxels = voxels[np.array(allowed, bool)]
            where = tuple(to_array.voxels(voxels).T)
            if positive:
                labels[where] = label
            else:
                here = labels[where]
                here[here == label] = 0
                labels[where] = here


def _of_one(found: LabelLogits, prompts: PromptSet, boxes: Boxes, style: PromptStyle) -> Logits:
    logits: Logits = found.logits.numpy().copy()
    positive, negative = (_inside(_voxels(prompts, sign), found) for sign in (True, False))
    _take_away(logits, positive, negative)
    for voxel in positive:
        if logits[tuple(voxel)] <= 0:
            _add(logits, voxel, style)
    if len(boxes) and not (logits > 0).any():
        _add_peak(logits, boxes - np.array(found.origin)[None, :, None])
    return logits


def _take_away(logits: Logits, positive: Voxels, negative: Voxels) -> None:
    """Removes what belongs to negative points: the whole of a component without a positive point, else the part of it
    that a watershed of the logits gives to the negative ones.
    """
    hit = negative[logits[tuple(negative.T)] > 0]
    if not len(hit):
        return
    labelled, _ = ndimage.label(logits > 0)
    parts = ndimage.find_objects(labelled)
    for component in np.unique(labelled[tuple(hit.T)]):
        part = parts[component - 1]
        inside = labelled[part] == component
        removed = inside
        markers = np.zeros(inside.shape, np.int32)
        for voxels, value in ((positive, 1), (hit, 2)):
            own = voxels[labelled[tuple(voxels.T)] == component] - [side.start for side in part]
            markers[tuple(own.T)] = value
        if (markers == 1).any():
            from skimage.segmentation import watershed

            basins = watershed(-logits[part], markers, mask=inside)  # type: ignore[no-untyped-call]
            removed = basins == 2
        here = logits[part]
        here[removed] = -np.maximum(np.abs(here[removed]), SURE)


def _add(logits: Logits, voxel: Voxels, style: PromptStyle) -> None:
    """Adds what links a positive point to the mask beside it, of voxels at least as probable as the point.

    That lies between the point and the nearest voxel of the mask up to two stamps away, no more: around an object all
    voxels just outside are as probable, and adding them would swell it. Without a mask there, the part around the
    point, one stamp away at most.
    """
    level = float(logits[tuple(voxel)])
    if level < UNBELIEVABLE:
        logits[tuple(voxel)] = SURE
        return
    radii = np.array([max(1, int(r)) for r in style.radii])
    low, high = _between(voxel - 2 * radii, voxel + 2 * radii, logits.shape)
    mask = np.argwhere(logits[_window(low, high)] > 0) + low
    if len(mask):
        nearest = mask[(((mask - voxel) / radii) ** 2).sum(1).argmin()]
        low, high = np.minimum(voxel, nearest), np.maximum(voxel, nearest)
    else:
        low, high = _between(voxel - radii, voxel + radii, logits.shape)
    here = logits[_window(low, high)]
    labelled, _ = ndimage.label(here >= level - ROUNDING)
    inside = labelled == labelled[tuple(voxel - low)]
    here[inside] = np.maximum(np.abs(here[inside]), SURE)


def _between(low: Voxels, high: Voxels, shape: tuple[int, ...]) -> tuple[Voxels, Voxels]:
    return np.maximum(low, 0), np.minimum(high, np.array(shape) - 1)


def _window(low: Voxels, high: Voxels) -> tuple[slice, ...]:
    """From the voxel `low` to the voxel `high`, both inside."""
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))


def _add_peak(logits: Logits, boxes: Boxes) -> None:
    """Adds the most probable part inside the prompts of a label that has none."""
    prompted = np.zeros(logits.shape, bool)
    for box in boxes:
        prompted[tuple(slice(max(int(a), 0), max(int(b), 0)) for a, b in box)] = True
    prompted &= logits > NOTHING
    if prompted.any():
        best = np.where(prompted, logits, -np.inf)
        _raise(logits, best, np.zeros_like(logits))


def _let_win(found: LabelLogits, others: Sequence[LabelLogits]) -> None:
    """Where a label's mask is everywhere claimed by others, lets it win where its claim is best, in place."""
    logits: Logits = found.logits.numpy()
    if _wins_at_peak(found, others):  # as a rule, and then no volume has to be compared
        return
    rival = np.zeros_like(logits)
    for other in others:
        low = np.maximum(found.origin, other.origin)
        high = np.minimum(
            np.add(found.origin, logits.shape), np.add(other.origin, tuple(other.logits.shape))
        )
        if (low < high).all():
            mine = tuple(
                slice(a, b) for a, b in zip(low - found.origin, high - found.origin, strict=True)
            )
            its = tuple(
                slice(a, b) for a, b in zip(low - other.origin, high - other.origin, strict=True)
            )
            rival[mine] = np.maximum(rival[mine], other.logits.numpy()[its])
    claimed = logits > 0
    if claimed.any() and not (claimed & (logits >= rival)).any():
        _raise(logits, np.where(claimed, logits - rival, -np.inf), rival)


def _wins_at_peak(found: LabelLogits, others: Sequence[LabelLogits]) -> bool:
    """Whether no other label is more probable where this one is most probable, and it is claimed there."""
    logits: Logits = found.logits.numpy()
    peak = np.array(np.unravel_index(int(logits.argmax()), logits.shape))
    highest = float(logits[tuple(peak)])
    for other in others:
        there = _inside((peak + found.origin)[None], other)
        if len(there) and float(other.logits[tuple(there[0].tolist())]) > highest:
            return False
    return highest > 0


def _raise(logits: Logits, score: Logits, above: Logits) -> None:
    """Lifts what is connected to the peak of `score`, and at most `STEP` below it, over `above`."""
    peak = np.unravel_index(int(score.argmax()), score.shape)
    labelled, _ = ndimage.label(score >= score[peak] - STEP)
    inside = labelled == labelled[peak]
    logits[inside] = np.maximum(logits[inside], above[inside] + SURE)


def _voxels(prompts: PromptSet, positive: bool) -> Voxels:
    """The voxels (N, 3) of the points and scribbles of one sign."""
    points = [p.position for p in prompts.points if p.positive == positive]
    paths = [path_voxels(s) for s in prompts.scribbles if s.positive == positive]
    clicked = np.floor(np.array(points, float).reshape(-1, 3) + 0.5).astype(np.int64)
    return np.concatenate([clicked, *paths])


def _inside(voxels: Voxels, found: LabelLogits) -> Voxels:
    """Those in what was computed, counted from its first voxel."""
    here = voxels - np.array(found.origin)
    return np.asarray(here[((here >= 0) & (here < tuple(found.logits.shape))).all(1)])
