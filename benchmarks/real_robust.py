"""Wrong prompts and corrective clicks: the scores of a trained model on its validation cases.

Measured after the training, by the predictor and the session that users have. *exact* and *clean* are measured
beside what is compared with them, in the same run.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from harness import HeldOut, predictor
from real_measure import Cases, Trained, case_scores, rough_masks, rounded
from scipy import ndimage
from tqdm import tqdm

from nnunet_prompt.evaluation.interact.play import LabelCase, Play, play_label
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import CasePrompts, PromptSet
from nnunet_prompt.training.validation_prompts import SEED

EXACT, CLEAN = "box + points in slices, exact", "mask, clean"
SHIFT, BORDER = 3, 2  # voxels
CLICKS = 6
THICK = 3.0  # slices thicker than this many voxels of the plane: masks change within them alone


def robust_rows(
    ours: list[Trained], images: Path, truths: Path, *, jitter: int
) -> dict[str, dict[str, Cases]]:
    """Per row and seed the scores of each validation case; `jitter` is how many voxels boxes and points are off."""
    rows: dict[str, dict[str, Cases]] = {}
    for one in ours:
        trained = predictor(one.fold.parent, folds=(0,))
        session = PromptSession(trained)
        names = sorted(p.name for p in (one.fold / "validation").glob("*.nii.gz"))
        for name in tqdm(names, desc=f"seed {one.seed}", unit="case", disable=None):
            case = HeldOut.read(name.removesuffix(".nii.gz"), images, truths)
            placed = trained.place([case.image])
            for row, prompts in _prompts(case, jitter).items():
                mask = trained.answer(placed, prompts).labels
                found = rows.setdefault(row, {}).setdefault(str(one.seed), {})
                found[case.name] = case_scores(case.masks, mask, case.spacing_mm)
            session.set_image(case.image)
            for feedback in (False, True):
                for row, score in _clicked(session, case, feedback=feedback).items():
                    rows.setdefault(row, {}).setdefault(str(one.seed), {})[case.name] = score
    return rows


def click_row(number: int, *, feedback: bool) -> str:
    """The row of the masks after so many corrective clicks."""
    return f"click {number}" + (", the mask given back" if feedback else "")


def _prompts(case: HeldOut, jitter: int) -> dict[str, CasePrompts]:
    """The prompts of each row."""
    shown = {
        k: frozenset(label for label, mask in case.masks.items() if mask[..., k].any())
        for k in range(case.truth.shape[2])
    }
    rows = {
        name: CasePrompts(_boxes_and_points(case, off), slices=shown, slice_axis=2)
        for name, off in ((EXACT, 0), (f"box + points in slices, off by {jitter}", jitter))
    }
    rough = rough_masks(case.truth, case.name)
    for name, change in _changes(case).items():
        sets = {
            label: PromptSet(mask=change(rough == label))
            for label in case.masks
            if (rough == label).any()
        }
        rows[name] = CasePrompts(sets)
    return rows


def _boxes_and_points(case: HeldOut, jitter: int) -> dict[int, PromptSet]:
    rng = np.random.default_rng([SEED, zlib.crc32(os.fsencode(case.name))])
    options = SimulationOptions(slice_axis=2, jitter=jitter)
    sets = {
        label: simulate(mask, rng, kind="slices", options=options)
        for label, mask in case.masks.items()
    }
    return {
        label: own.with_negatives([o for other, o in sets.items() if other != label])
        for label, own in sets.items()
    }


def _changes(case: HeldOut) -> Mapping[str, Callable[[BoolArray], BoolArray]]:
    """The rough mask as it is, moved as a whole, and with less or more of a border."""
    near = ndimage.generate_binary_structure(3, 1)
    if case.spacing_mm[2] > THICK * min(case.spacing_mm[:2]):
        near[..., [0, 2]] = False

    def shifted(mask: BoolArray) -> BoolArray:
        moved = np.zeros_like(mask)
        moved[SHIFT:] = mask[:-SHIFT]
        return moved if moved.any() else mask

    def eroded(mask: BoolArray) -> BoolArray:
        for times in range(BORDER, 0, -1):
            less: BoolArray = ndimage.binary_erosion(mask, near, times)
            if less.any():
                return less
        return mask

    def dilated(mask: BoolArray) -> BoolArray:
        more: BoolArray = ndimage.binary_dilation(mask, near, BORDER)
        return more

    return {
        CLEAN: lambda mask: mask,
        f"mask, shifted by {SHIFT}": shifted,
        f"mask, eroded by {BORDER}": eroded,
        f"mask, dilated by {BORDER}": dilated,
    }


def _clicked(
    session: PromptSession, case: HeldOut, *, feedback: bool
) -> dict[str, dict[str, float]]:
    """The scores after each corrective click of the protocol *clicks* of `nnunet-prompt interact`.

    The session has the case's image open.
    """
    play = Play("clicks", interactions=CLICKS, feedback=feedback)
    found: dict[str, list[tuple[float, float]]] = {}
    for label, target in case.masks.items():
        one = LabelCase(case.name, label, target, None, case.spacing_mm)
        for row in play_label(session, one, play):
            name = click_row(row.interaction + 1, feedback=feedback)
            distance = np.nan if row.hd95_mm is None else row.hd95_mm
            found.setdefault(name, []).append((row.dice, distance))
    return {name: rounded(scores) for name, scores in found.items()}
