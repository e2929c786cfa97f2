"""What is told where a checkpoint is missing and others are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.folds import fold_checkpoints
from nnunet_prompt.inference.unfinished import instead_of
from tests.helpers.each import each

FINAL, BEST, LATEST = (f"checkpoint_{name}.pth" for name in ("final", "best", "latest"))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@each(
    ("files", "said"),
    [
        ((), "; is the training finished?"),
        (
            (f"fold_0/{LATEST}",),
            f"; fold_0 holds {LATEST}: take it with -chk {LATEST}, or end the training with --c",
        ),
        (
            (f"fold_0/{LATEST}", f"fold_1/{BEST}", f"fold_0/{BEST}"),
            f"; fold_0, fold_1 holds {BEST}",
        ),
    ],
)
def test_the_best_there_is(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    touch(tmp_path, *files)
    assert instead_of(FINAL, tmp_path).startswith(said)


def test_the_model_folder_tells_it(tmp_path: Path) -> None:
    touch(tmp_path, f"fold_0/{BEST}", f"fold_1/{FINAL}")
    with pytest.raises(ModelError, match=f"-chk {BEST}"):
        fold_checkpoints(tmp_path, (0,), FINAL)
    with pytest.raises(
        ModelError, match=r"fold_2/checkpoint_final.pth: not found; is the training"
    ):
        fold_checkpoints(tmp_path, (2,), FINAL)
    with pytest.raises(ModelError, match=f"no fold holds {LATEST}; fold_1 holds {FINAL}"):
        fold_checkpoints(tmp_path, None, LATEST)
