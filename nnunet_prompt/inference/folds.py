"""Which folds of a model folder are asked: `fold_0`, `fold_1`, ..., and `fold_all` where it is named.

Folders beside them (`fold_0_old`, `fold_0 (copy)`) belong to their owner and are never averaged into an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.unfinished import instead_of
from nnunet_prompt.networks.safetensors_file import ENDING

ALL = "all"
_FOLD = re.compile(r"fold_(?P<number>0|[1-9][0-9]*)")

Fold = int | str


def trained_folds(model: Path, checkpoint: str, *, with_all: bool = False) -> tuple[Fold, ...]:
    """The folds of a model folder that hold the checkpoint, as nnU-Net's file or as safetensors, by number.

    `fold_all`, trained on all cases, is not one of them, as in nnU-Net; it is taken where it is the only one, and last
    `with_all`.
    """
    names = (checkpoint, Path(checkpoint).with_suffix(ENDING).name)
    folders = {path.parent.name for name in names for path in model.glob(f"fold_*/{name}")}
    numbers = sorted(int(match["number"]) for f in folders if (match := _FOLD.fullmatch(f)))
    there = f"fold_{ALL}" in folders
    return (*numbers, ALL) if there and (with_all or not numbers) else tuple(numbers)


def fold_checkpoints(
    model: Path, folds: Sequence[Fold] | None, checkpoint: str
) -> dict[Fold, Path]:
    """The checkpoint of each of the `folds`, None for all that were trained. Raises `ModelError` if one is missing."""
    chosen = trained_folds(model, checkpoint) if folds is None else tuple(dict.fromkeys(folds))
    if not chosen:
        raise ModelError(f"{model}: no fold holds {checkpoint}{instead_of(checkpoint, model)}")
    paths = {fold: _stored(model / f"fold_{fold}" / checkpoint) for fold in chosen}
    for fold, path in paths.items():
        if not path.is_file():
            raise ModelError(f"{path}: not found{instead_of(checkpoint, model, (fold,))}")
    return paths


def _stored(path: Path) -> Path:
    """A checkpoint, or where it is not there the one beside it that `weights export --format safetensors` wrote."""
    other = path.with_suffix(ENDING)
    return other if other.is_file() and not path.exists() else path


def report_folds(model: Path, used: Sequence[Fold]) -> str:
    """One line on the folds that are used, and on the folders beside them that are not."""
    names = [f"fold_{fold}" for fold in used]
    others = sorted(p.name for p in model.glob("fold_*") if p.is_dir() and p.name not in names)
    line = f"{model.name}: {', '.join(names)}"
    return f"{line} (not used: {', '.join(others)})" if others else line
