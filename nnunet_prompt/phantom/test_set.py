"""The test set of TFM4MedIA for phantoms: flat and anonymous, `prompts.json` beside the images, labels elsewhere.

test/images/Case ID1.nii.gz          one image per case, or Case ID1_{C0,LGE,T2}.nii.gz
test/prompts.json                    boxes and points per slice and label, made from the hidden labels
hidden_labels/Case ID1.nii.gz        complete, official values, on the grid of the images
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts_json
from nnunet_prompt.phantom.scanner import Volume

IMAGES = "test/images"
PROMPTS = "test/prompts.json"
LABELS = "hidden_labels"


def files_of(case_id: str, sequences: Mapping[str, Volume], labels: Volume) -> dict[str, Volume]:
    """The images and the hidden label map of a test case, by path; a single image has the name ""."""
    images = {
        f"{IMAGES}/{case_id}{f'_{sequence}' if sequence else ''}.nii.gz": volume
        for sequence, volume in sequences.items()
    }
    return {**images, f"{LABELS}/{case_id}.nii.gz": labels}


def write_prompts(target: Path, *, seed: int) -> None:
    """Writes the prompts of all hidden label maps: what is random in a case depends on the seed and the case alone."""
    simulate_prompts_json(target / LABELS, target / PROMPTS, options=SimulateOptions(seed=seed))
