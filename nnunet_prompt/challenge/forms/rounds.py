"""The masks of earlier rounds, for platforms that call a container once per round and do not hand its mask back in.

    STATE/<fingerprint>.nii.gz      the last mask of a case, known by its images

A platform names each call anew, so a case is recognised by its voxels and its grid. A round without prompts is
the first of its case and begins anew. What cannot be kept costs the next round its start, not this one its mask.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunet_prompt.challenge.forms.answer import Job
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.io.atomic import make_folder, remove_partials
from nnunet_prompt.io.geometry import same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.save_mask import save_mask

_log = logging.getLogger(__name__)
DECIMALS = 4  # of an affine: formats round it


def fingerprint(job: Job) -> str:
    """A name for the images of a job: the same for the same voxels on the same grid, whatever the files are called."""
    digest = hashlib.sha256()
    for tag, volume in job.volumes.items():
        affine = np.round(volume.affine, DECIMALS) + 0.0
        digest.update(f"{tag} {volume.shape} {affine.tolist()} ".encode())
        digest.update(np.ascontiguousarray(volume.array, np.float32).tobytes())
    return digest.hexdigest()[:32]


def with_earlier(job: Job, state: Path) -> Job:
    """The job with the mask of the round before, where one is kept and the job has prompts but no mask itself."""
    if job.prompts is None or job.automatic is not None:
        return job
    path = _path(job, state)
    try:
        if not path.is_file():
            return job
        mask = read_label_file(path)
        if not same_geometry(mask, job.reference):
            return job
    except (NNUNetPromptError, OSError) as error:
        _log.warning(f"{path}: the earlier mask cannot be used: {error}")
        return job
    return replace(job, automatic=mask.array) if mask.array.any() else job


def keep_for_next(job: Job, labels: LabelMap, state: Path) -> None:
    """Keeps the mask of this round; logs a warning where that fails."""
    try:
        make_folder(state)
        remove_partials(state)
        save_mask(labels, _path(job, state), like=job.reference)
    except (NNUNetPromptError, OSError) as error:
        _log.warning(f"{error}; the next call begins without this mask")


def _path(job: Job, state: Path) -> Path:
    return state / f"{fingerprint(job)}.nii.gz"
