"""The self-test: a phantom heart, a tiny network, one click, a mask on disc; seconds on a CPU."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from nnunet_prompt.cli.doctor.check import Check
from nnunet_prompt.cli.doctor.tiny_model import write_tiny_model
from nnunet_prompt.common.log import warnings_only

REPORT = "please report it with the output of `nnunet-prompt doctor --json`"
LABEL = 500
SLOW_S = 60.0


def self_test() -> list[Check]:
    """Predicts with a click on the device that a prediction would take; nothing is left on the disc.

    The network was never trained, so the mask is judged by what holds for every network: its geometry, that it holds
    the click, and that it is the same when it is read again.
    """
    from nnunet_prompt.inference.options import PredictOptions

    device = PredictOptions().resolved_device()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nnunet_prompt_") as folder, warnings_only():
        faults, voxels = _try(Path(folder), device)
    took = time.monotonic() - started
    if faults:
        return [Check("self-test", "broken", f"{device}: {'; '.join(faults)}", REPORT)]
    text = f"{device}: a click made a mask of {voxels} voxels in {took:.1f} s"
    slow = took > SLOW_S
    advice = "see OMP_NUM_THREADS and what else runs on this machine" if slow else ""
    return [Check("self-test", "warning" if slow else "ok", text, advice)]


def _try(folder: Path, device: str) -> tuple[list[str], int]:
    """What is wrong, and the size of the mask."""
    import numpy as np

    from nnunet_prompt.inference.session import PromptSession
    from nnunet_prompt.io.nifti import read_label_volume
    from nnunet_prompt.io.save_mask import save_mask
    from nnunet_prompt.phantom.heart import write_phantoms

    write_phantoms(folder / "heart", 1, part="test")
    (image,) = (folder / "heart" / "images").iterdir()
    (labels,) = (folder / "heart" / "labels").iterdir()
    reference = read_label_volume(labels)
    x, y, z = (int(n) for n in np.argwhere(reference.array == LABEL)[0])
    session = PromptSession(write_tiny_model(folder / "model"), device=device)
    session.set_image(image)
    session.add_point((x, y, z), label=LABEL)
    mask = session.predict()
    faults = []
    if mask.shape != reference.shape:
        faults.append(f"mask of shape {mask.shape}, expected {reference.shape}")
    elif mask[x, y, z] != LABEL:
        faults.append("the click lies outside its mask")
    written = folder / "mask.nii.gz"
    save_mask(mask, written, like=image)
    again = read_label_volume(written)
    if np.count_nonzero(again.array) != np.count_nonzero(mask):
        faults.append("the mask has another size when it is read again")
    if not np.allclose(again.affine, reference.affine, atol=1e-4):
        faults.append("the mask has another geometry than its image")
    return faults, int(np.count_nonzero(mask))
