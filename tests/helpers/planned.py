"""nnU-Net's three folders with a data set that looks planned and preprocessed: names and JSON, no voxels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.helpers.models import PLANS, hand_made_dataset_json, hand_made_plans

DATASET = "Dataset501_Tiny"


def write_planned(root: Path, *, cases: int = 6, splits: Any = None, plans: str = PLANS) -> Path:
    """The preprocessed folder of data set 501, whose plans are called `plans`; sets nnU-Net's variables."""
    for part in ("raw", "preprocessed", "results"):
        (root / part).mkdir(exist_ok=True)
        os.environ[f"nnUNet_{part}"] = str(root / part)
    folder = root / "preprocessed" / DATASET
    names = [f"c{n}" for n in range(cases)]
    for path in (
        *(
            folder / f"nnUNetPlans_3d_fullres/{n}{e}"
            for n in names
            for e in (".b2nd", "_seg.b2nd", ".pkl")
        ),
        *(folder / f"gt_segmentations/{n}.nii.gz" for n in names),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    add_plans(folder, plans)
    (folder / "dataset_fingerprint.json").write_text("{}")
    (folder / "dataset.json").write_text(
        json.dumps({**hand_made_dataset_json(), "numTraining": cases})
    )
    if splits is not None:
        (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder


def add_plans(folder: Path, name: str) -> None:
    (folder / f"{name}.json").write_text(json.dumps({**hand_made_plans(), "plans_name": name}))
