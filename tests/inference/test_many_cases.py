"""A hundred cases in a row take no more memory than five."""

from __future__ import annotations

import gc
import logging
import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.inference.inputs import mask_name
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_case import Asked, CaseToDo
from nnunet_prompt.inference.predict_folder import predict_cases
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.image_cases import group_channels, image_files
from tests.helpers.models import write_model_folder

STATM = Path("/proc/self/statm")


def resident() -> int:
    """The memory that this process has now, in bytes."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.skipif(not STATM.is_file(), reason="only Linux counts it there")
def test_a_hundred_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Volumes of several sizes and spacings, a real network."""
    predictor = PromptPredictor(
        write_model_folder(tmp_path / "model"), PredictOptions(device="cpu", use_mirroring=False)
    )
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(100):
        shape = (20 + number % 5, 24 - number % 3, 10 + number % 4)
        image = nib.Nifti1Image(
            rng.normal(100, 20, shape).astype(np.int16),
            np.diag([1.2 + 0.1 * (number % 2), 1.4, 4.0, 1]),
        )
        nib.save(image, tmp_path / "in" / f"case_{number:03d}_0000.nii.gz")
    found = group_channels(image_files(tmp_path / "in"), keys=(), n_channels=1)
    (tmp_path / "out").mkdir()
    cases = [
        CaseToDo(c, tmp_path / "out" / mask_name(c.case, c.first, predictor.reader)) for c in found
    ]
    memory: list[int] = []
    log = logging.getLogger("nnunet_prompt.inference.case_runner")
    monkeypatch.setattr(log, "log", lambda *_: memory.append(resident()))  # once for each case
    run = predict_cases(predictor, cases, Asked(probabilities=True))
    assert run.failed == {} and len(memory) == 100
    late, early = max(memory[-5:]), max(memory[2:7])
    assert late <= 1.05 * early, f"{early / 2**20:.0f} MiB, then {late / 2**20:.0f} MiB"
