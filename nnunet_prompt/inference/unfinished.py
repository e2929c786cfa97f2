"""Other checkpoints of a model folder that lacks the one that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

OTHERS = (
    "checkpoint_final.pth",
    "checkpoint_best.pth",
    "checkpoint_best_object.pth",
    "checkpoint_latest.pth",
)


def instead_of(checkpoint: str, folder: Path, folds: Sequence[int | str] = ()) -> str:
    """The end of a message about a checkpoint that is missing in some of `folds` (none: in every fold).

    A training that was stopped has left others.
    """
    places = [f"fold_{fold}" for fold in folds] or ["fold_*"]
    for name in OTHERS:
        found = [path for place in places for path in folder.glob(f"{place}/{name}")]
        if name != checkpoint and found:
            where = ", ".join(sorted(path.parent.name for path in found))
            return f"; {where} holds {name}: take it with -chk {name}, or end the training with --c"
    return "; is the training finished?"
