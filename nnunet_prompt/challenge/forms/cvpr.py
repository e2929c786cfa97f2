"""`submit --form cvpr`: CVPR's interactive challenge, INPUT/*.npz to OUTPUT/*.npz of the same names.

The evaluator calls the container once per step and adds clicks and the mask of the step before to the same file, so a
file is answered anew each time. A file that cannot be used does not stop the others.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnunet_prompt.challenge.budget import Budget
from nnunet_prompt.challenge.case_run import Trouble
from nnunet_prompt.challenge.forms.answer import Job, answer
from nnunet_prompt.challenge.forms.grand_challenge import Folders, check_folders
from nnunet_prompt.challenge.forms.npz_file import read_npz, write_segs
from nnunet_prompt.challenge.forms.weights_folder import find_model
from nnunet_prompt.challenge.report import Entry, Report, entry_of
from nnunet_prompt.challenge.submit import DEFAULTS, SubmitOptions
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.given import as_options
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.image_cases import PLAIN
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import CasePrompts

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

_log = logging.getLogger(__name__)
ENDING = ".npz"


def submit_cvpr(
    folders: Folders, *, options: PredictOptions, submission: SubmitOptions = DEFAULTS
) -> int:
    """Answers every file and returns how many are degraded.

    Raises `NNUNetPromptError` for folders or a model that cannot be used, and at the end if a file could not be read
    or, if `strict`, one is degraded.
    """
    budget, options = submission.start(), as_options(options)
    check_folders(folders, submission)
    paths = sorted(p for p in folders.input.iterdir() if p.name.endswith(ENDING) and p.is_file())
    if not paths:
        raise NNUNetPromptError(f"{folders.input}: no {ENDING} file in it")
    model = find_model(folders.model)
    from nnunet_prompt.inference.predictor import PromptPredictor

    predictor = PromptPredictor.from_folder(model, options)
    make_folder(folders.output)
    check_writable(folders.output)
    troubles = run_files(predictor, paths, folders.output, submission=submission, budget=budget)
    lost = sorted({t.case for t in troubles if not t.has_mask})
    degraded = {t.case for t in troubles}
    if lost:
        raise NNUNetPromptError(
            f"{folders.output}: {len(lost)} file(s) have no mask: {', '.join(lost)} (reasons above)"
        )
    if degraded and submission.strict:
        raise NNUNetPromptError(
            f"{folders.output}: --strict, and {len(degraded)} file(s) are degraded: {', '.join(sorted(degraded))}"
            " (reasons above)"
        )
    return len(degraded)


def run_files(
    predictor: Predictor,
    paths: list[Path],
    output: Path,
    *,
    submission: SubmitOptions = DEFAULTS,
    budget: Budget | None = None,
) -> list[Trouble]:
    """Writes the mask of each file and returns what went wrong, which is also logged."""
    budget = budget or submission.start()
    report = Report(submission.report, output)
    found: list[Trouble] = []
    for i, path in enumerate(progress(paths, "submit")):
        entry = _run(predictor, path, output, budget, left=len(paths) - i)
        for line in (*entry.notes, *map(str, entry.troubles)):
            _log.warning(line)
        found += entry.troubles
        report.add({path.stem: entry})
    return found


def job_of(path: Path) -> Job:
    """The job of a file: axes x, y, z of its array count as left, posterior, superior. Raises `NNUNetPromptError`."""
    case = read_npz(path)
    x, y, z = case.spacing
    affine = np.diag([-x, -y, z, 1.0])
    image = case.image
    if image.dtype.str[1:] not in ("u1", "i1", "u2", "i2"):
        image = image.astype(np.float32)
    volume = NiftiVolume(path, image, affine, None, image.shape)
    if not case.prompts and case.before is None:
        raise ImageError(f"{path}: expected boxes, clicks or prev_pred, found none of them")
    prompts = CasePrompts(case.prompts) if case.prompts else None
    return Job(path.stem, {PLAIN: volume}, prompts, case.before)


def _run(predictor: Predictor, path: Path, output: Path, budget: Budget, *, left: int) -> Entry:
    begun = budget.clock()
    try:
        job = job_of(path)
    except Exception as error:  # of whatever kind, it is of this file
        kind = "" if isinstance(error, NNUNetPromptError) else f"{type(error).__name__}: "
        reason = f"{kind}{' '.join(str(error).split())}; it has no mask"
        return entry_of([Trouble(path.stem, "image", reason, has_mask=False)])
    if predictor.n_image_channels != 1:
        raise NNUNetPromptError(
            f"the model takes {predictor.n_image_channels} image channels, expected 1: a file holds one image"
        )
    answered = answer(predictor, job, budget, cases=left)
    troubles = list(answered.troubles)
    try:
        write_segs(output / path.name, answered.labels)
    except NNUNetPromptError as error:
        troubles.append(Trouble(path.stem, "output", f"{error}; it has no mask", has_mask=False))
    seconds = budget.clock() - begun
    return entry_of(troubles, seconds=seconds, tiles=answered.tiles, notes=answered.notes)
