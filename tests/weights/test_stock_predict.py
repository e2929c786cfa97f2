"""Stock `nnUNetv2_predict` runs an exported model where there is no nnunet_prompt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.weights.export import export_model
from tests.helpers.exports import TABLE, scene, trained_weights, write_model
from tests.helpers.models import hand_made_plans

pytestmark = pytest.mark.slow

# an import of our package fails, as if it were not installed
COMMAND = """
import sys
sys.modules["nnunet_prompt"] = None
from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder
predict_entry_point_modelfolder()
"""
UNIONS = StructureTable(
    (Structure("any", 1, (1, 2), 7), Structure("bright", 2, (2,), 9)), priority=("bright",)
)
PLANS = hand_made_plans((1, 0, 2))  # transposed, and the image below is resampled


def stock(model: Path, images: Path, output: Path) -> None:
    arguments = ["-i", images, "-o", output, "-m", model, "-f", "0", "-device", "cpu"]
    arguments += ["--disable_tta", "--disable_progress_bar", "-npp", "1", "-nps", "1"]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stdout + result.stderr


def overlapping() -> dict[str, Any]:
    """The trained weights with the first structure surer of itself, so that it claims voxels of the second."""
    weights = dict(trained_weights())
    for name in [n for n in weights if n.startswith("heads.") and n.endswith(".bias")]:
        weights[name] = weights[name].clone()
        weights[name][1] += 4
    return weights


@pytest.mark.parametrize("table", [TABLE, UNIONS], ids=["labels", "regions"])
def test_the_masks_are_ours(table: StructureTable, tmp_path: Path) -> None:
    weights = trained_weights() if table is TABLE else overlapping()
    ours = write_model(tmp_path / "ours", plans=PLANS, table=table, weights=weights)
    export_model(ours, tmp_path / "theirs", "nnunet")
    (tmp_path / "images").mkdir()
    image, _ = scene((16, 20, 24), np.random.default_rng(5))
    affine = np.diag([1.25, 2.0, 4.0, 1.0])
    source = tmp_path / "images" / "case_0000.nii.gz"
    nib.Nifti1Image(image.transpose(2, 1, 0), affine).to_filename(source)

    stock(tmp_path / "theirs", tmp_path / "images", tmp_path / "out")
    found = np.asarray(nib.load(tmp_path / "out" / "case.nii.gz").dataobj)

    predictor = PromptPredictor.from_folder(ours, PredictOptions(device="cpu", use_mirroring=False))
    expected = predictor.predict_structures([read_nifti(source)])
    in_values = np.array([0, *(s.official for s in table.structures)])[found]
    assert set(np.unique(expected)) == {0, *(s.official for s in table.structures)}
    # nnU-Net adds its tiles up in half precision, which can turn a voxel that is undecided
    assert (expected != in_values).mean() < 1e-3
