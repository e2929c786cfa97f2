"""Where in an unpacked tarball of weights the model is: in its root, or in the one folder that holds a plans.json."""

from __future__ import annotations

from pathlib import Path

from nnunet_prompt.common.errors import ModelError

DEEPEST = 3  # folders below the root, as in Dataset901_Heart/nnUNetTrainer__nnUNetPlans__3d_fullres
PLANS = "plans.json"


def find_model(folder: Path) -> Path:
    """The model folder at or below `folder`. Raises `ModelError` in one line where there is none, or several."""
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ModelError(
            f"{folder}: no weights: expected a model, <trainer>__<plans>__<configuration>; upload the tarball that"
            " `make image FORM=grand-challenge` writes (Algorithm > Models), or mount its content there"
        )
    for depth in range(DEEPEST + 1):
        found = sorted(folder.glob("/".join(["*"] * depth + [PLANS])))
        if len(found) > 1:
            names = ", ".join(str(p.parent.relative_to(folder)) for p in found[:3])
            raise ModelError(f"{folder}: expected one model, found {len(found)}: {names}; keep one")
        if found:
            return found[0].parent
    there = ", ".join(p.name for p in sorted(folder.iterdir())[:3])
    raise ModelError(
        f"{folder}: no weights: expected {PLANS} in it or up to {DEEPEST} folders below, found {there}; make the"
        " tarball with `make image FORM=grand-challenge`"
    )
