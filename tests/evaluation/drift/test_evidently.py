"""Evidently reads the table of predict --monitor as it is, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.inference.monitor import WITHOUT_PROMPTS
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.run_options import RunOptions
from tests.helpers.models import write_model_folder
from tests.helpers.own_environment import python_with

pytestmark = pytest.mark.slow
SCRIPT = """
import json, sys
import pandas
from evidently import Dataset, Report
from evidently.presets import DataDriftPreset

reference, new = (Dataset.from_pandas(pandas.read_csv(path)) for path in sys.argv[1:])
print(json.dumps(Report([DataDriftPreset()]).run(new, reference).dict(), default=str))
"""


def _table(folder: Path, model: Path, seed: int, *, brighter: float) -> Path:
    """What predict --monitor writes about a dozen images of noise on a level that differs from case to case."""
    rng, images = np.random.default_rng(seed), folder / f"images_{seed}"
    images.mkdir()
    for k in range(12):
        array = rng.normal(100 + brighter + 5 * rng.normal(), 20, (12, 14, 9)).astype(np.float32)
        image = nib.Nifti1Image(array, np.diag([1.25, 1.5, 4.0, 1.0]))
        nib.save(image, images / f"s{seed}_{k:02d}.nii.gz")
    table = folder / f"table_{seed}.csv"
    options = PredictOptions(device="cpu", use_mirroring=False)
    run = RunOptions(monitor=table)
    predict_folder(images, folder / f"masks_{seed}", model=model, options=options, run_options=run)
    return table


def _p_values(python: Path, reference: Path, new: Path) -> dict[str, float]:
    """The drift score of each column."""
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    command = [str(python), "-W", "ignore", "-c", SCRIPT, str(reference), str(new)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads(done.stdout.strip().splitlines()[-1])["metrics"]
    return {m["config"]["column"]: m["value"] for m in metrics if "column" in m["config"]}


def test_evidently_reads_the_table_and_sees_what_is_brighter(tmp_path: Path) -> None:
    """At evidently's own level of 0.05, the quantiles of brighter images drift, and the spacing does not."""
    python = python_with("evidently==0.7.23", "pandas<3")  # with later pandas it cannot be imported
    model = write_model_folder(tmp_path / "model")
    reference = _table(tmp_path, model, 0, brighter=0)
    found = _p_values(python, reference, _table(tmp_path, model, 1, brighter=40))
    assert set(found) == set(WITHOUT_PROMPTS)
    assert found["intensity_p50"] < 0.05 < found["spacing_x"]
