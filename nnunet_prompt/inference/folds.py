"""Which folds of a model folder are asked: `fold_0`, `fold_1`, ..., and `fold_all` where it is named.

Folders beside them (`fold_0_old`, `fold_0 (copy)`) belong to their owner and are never averaged into an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.unfinished import instead_of

ALL = "all"
_FOLD = re.compile(r"fold_(?P<number>0|[1-9][0-9]*)")

Fold = int | str


def trained_folds(model: Path, checkpoint: str, *, with_all: bool = False) -> tuple[Fold, ...]:
    """The folds of a model folder that hold the checkpoint, by number.

    `fold_all`, trained on all cases, is not one of them, as in nnU-Net; it is taken where it is the only one, and last
    `with_all`.
    """
    matches = (_FOLD.fullmatch(path.parent.name) for path in model.glob(f"fold_*/{checkpoint}"))
    numbers = sorted(int(match["number"]) for match in matches if match)
    there = (model / f"fold_{ALL}" / checkpoint).is_file()
    return (*numbers, ALL) if there and (with_all or not numbers) else tuple(numbers)


def fold_checkpoints(
    model: Path, folds: Sequence[Fold] | None, checkpoint: str
) -> dict[Fold, Path]:
    """The checkpoint of each of the `folds`, None for all that were trained. Raises `ModelError` if one is missing."""
    chosen = trained_folds(model, checkpoint) if folds is None else tuple(dict.fromkeys(folds))
    if not chosen:
        raise ModelError(f"{model}: no fold holds {checkpoint}{instead_of(checkpoint, model)}")
    paths = {fold: model / f"fold_{fold}" / checkpoint for fold in chosen}
    for fold, path in paths.items():
        if not path.is_file():
            raise ModelError(f"{path}: not found{instead_of(checkpoint, model, (fold,))}")
    return paths


def report_folds(model: Path, used: Sequence[Fold]) -> str:
    """One line on the folds that are used, and on the folders beside them that are not."""
    names = [f"fold_{fold}" for fold in used]
    others = sorted(p.name for p in model.glob("fold_*") if p.is_dir() and p.name not in names)
    line = f"{model.name}: {', '.join(names)}"
    return f"{line} (not used: {', '.join(others)})" if others else line
