"""Scores of every case of the comparison on real images, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from harness import Array

from nnunet_prompt.data.structures import structures_from_dataset_json
from nnunet_prompt.evaluation.metrics import score_masks
from nnunet_prompt.inference.components import keep_largest
from nnunet_prompt.io.nifti import read_label_volume
from nnunet_prompt.networks.capability import read_capability
from nnunet_prompt.training.validation_prompts import (
    FEW_KINDS,
    SLICE_KINDS,
    folder_name,
    simulated_prompts,
)

PLAIN, PLAIN_GATED = "plain nnU-Net", "plain nnU-Net, gated to the prompted slices"
PLAIN_LARGEST = "plain nnU-Net, largest component"
NONE, ROUGH = "ours, no prompt", "the rough mask itself"
KINDS = (*FEW_KINDS, *SLICE_KINDS, "mask")
Cases = dict[str, dict[str, float]]  # by case: the mean over its structures, by metric
Change = Callable[[Array, Array, str], Array]


class Trained(Protocol):
    """The part of a training that is measured."""

    seed: int

    @property
    def fold(self) -> Path: ...


def measure(
    plain: Sequence[Trained], ours: Sequence[Trained], truths: Path
) -> dict[str, dict[str, Cases]]:
    """Per row and seed the scores of each validation case."""
    rows: dict[str, dict[str, Cases]] = {}
    largest = _largest(ours[0].fold.parent)
    for one in plain:
        masks = one.fold / "validation"
        rows.setdefault(PLAIN, {})[str(one.seed)] = score(truths, masks)
        rows.setdefault(PLAIN_LARGEST, {})[str(one.seed)] = score(truths, masks, largest)
        rows.setdefault(PLAIN_GATED, {})[str(one.seed)] = score(truths, masks, _gated)
    for one in ours:
        masks = one.fold / "validation"
        rows.setdefault(NONE, {})[str(one.seed)] = score(truths, masks)
        for kind in KINDS:
            found = score(truths, masks / folder_name(kind))
            rows.setdefault(f"ours, {kind}", {})[str(one.seed)] = found
    first = ours[0].fold / "validation"
    rows[ROUGH] = {"all": score(truths, first, _rough)}
    return rows


def score(truths: Path, masks: Path, change: Change | None = None) -> Cases:
    """The scores of each mask of a folder; `change` makes another one of reference, mask and the case's name."""
    found: Cases = {}
    for path in sorted(masks.glob("*.nii.gz")):
        volume, truth = read_label_volume(path), read_label_volume(truths / path.name)
        name = path.name.removesuffix(".nii.gz")
        mask = volume.array if change is None else change(truth.array, volume.array, name)
        masks_of = {int(v): truth.array == v for v in np.unique(truth.array) if v}
        if masks_of:
            found[name] = case_scores(masks_of, mask, truth.spacing_mm)
    return found


def case_scores(
    references: Mapping[int, Array], mask: Array, spacing_mm: tuple[float, ...]
) -> dict[str, float]:
    """The mean scores of a label map over the structures of a case."""
    scores = [
        score_masks(reference, mask == label, spacing_mm=spacing_mm)
        for label, reference in references.items()
    ]
    return rounded([(s.dice, s.hd95_mm) for s in scores])


def rounded(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The means of pairs of Dice and HD95."""
    dice, hd95 = np.mean(scores, axis=0)
    return {"Dice": round(float(dice), 5), "HD95 (mm)": round(float(hd95), 3)}


def _largest(model: Path) -> Change:
    """What our decoding does without prompts, for plain nnU-Net's masks: it keeps the largest component of the
    structures of which `model` does so.
    """
    table = structures_from_dataset_json(
        json.loads((model / "dataset.json").read_text())
    ).in_labels()
    names = read_capability(model).one_component

    def change(_: Array, mask: Array, __: str) -> Array:
        kept = mask.copy()
        keep_largest(kept, table, names)
        return kept

    return change


def _gated(truth: Array, mask: Array, _: str) -> Array:
    """The mask with each label only in the slices (last axis of the file) that show it in the reference."""
    kept = np.zeros_like(mask)
    for label in np.unique(mask[mask > 0]):
        shown = (truth == label).any((0, 1))
        kept[(mask == label) & shown] = label
    return kept


def _rough(truth: Array, _: Array, case: str) -> Array:
    return rough_masks(truth, case)


def rough_masks(truth: Array, case: str) -> Array:
    """The corrupted masks that the row "ours, mask" starts from, as labels in the file's frame."""
    reader = truth.transpose(2, 1, 0)  # as nnU-Net's reader hands it to the validation
    masks = {int(v): reader == v for v in np.unique(reader) if v}
    rough = np.zeros_like(reader)
    for label, prompts in simulated_prompts(masks, "mask", case).items():
        assert prompts.mask is not None  # that is what "mask" means
        rough[prompts.mask] = label
    return rough.transpose(2, 1, 0)


def means(cases: Mapping[str, Mapping[str, float]], metric: str) -> float:
    """The mean over cases."""
    return float(np.mean([one[metric] for one in cases.values()]))
