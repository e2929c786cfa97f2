"""`submit --form grand-challenge`: one job of the platform, from INPUT/inputs.json to the masks of its output sockets.

    /input/inputs.json                        which sockets the job has
    /input/images/<slug>/<uuid>.mha           images, .mha or .nii.gz
    /input/<slug>.json                        prompts and annotations
    /opt/ml/model                             the tarball of the weights, unpacked
    /output/images/<slug>/output.mha          a mask on the grid of the first image

A job is answered anew each time, for the same paths hold another case the next time. A job that is wrong (inputs.json,
slugs, weights, images) raises before the network runs; where only the network fails, a mask is written nevertheless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.challenge.forms.answer import Answered, Job, answer
from nnunet_prompt.challenge.forms.inputs import SocketValue, read_inputs
from nnunet_prompt.challenge.forms.job import make_job, write_outputs
from nnunet_prompt.challenge.forms.rounds import keep_for_next, with_earlier
from nnunet_prompt.challenge.forms.sockets import Sockets, sockets_for
from nnunet_prompt.challenge.forms.weights_folder import find_model
from nnunet_prompt.challenge.report import Report, check_report_path, entry_of
from nnunet_prompt.challenge.submit import DEFAULTS, SubmitOptions
from nnunet_prompt.common.arguments import as_path, check_type
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.given import as_options
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.guard import check_output_file, check_output_folder, model_folders

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

_log = logging.getLogger(__name__)
NAME = "grand-challenge"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a job is, where its masks go, the model, and where one is given the sockets file and the folder in which
    masks are kept for the next round."""

    input: Path
    output: Path
    model: Path
    sockets: Path | None = None
    state: Path | None = None


def submit_grand_challenge(
    folders: Folders,
    *,
    options: PredictOptions,
    submission: SubmitOptions = DEFAULTS,
) -> int:
    """Answers the job and returns 1 if it is degraded, else 0.

    Raises `NNUNetPromptError` in one line for a folder, inputs.json, slug, image or model that cannot be used and, if
    `strict`, for a degraded job.
    """
    return submit_job(folders, NAME, read_inputs, options=options, submission=submission)


def submit_job(
    folders: Folders,
    form: str,
    read: Callable[[Path, Sockets], list[SocketValue]],
    *,
    options: PredictOptions,
    submission: SubmitOptions = DEFAULTS,
) -> int:
    """As `submit_grand_challenge`, for a form whose sockets `read` finds in the input folder."""
    check_type("submission", submission, SubmitOptions, "SubmitOptions(strict=True)")
    budget, options = submission.start(), as_options(options)
    check_folders(folders, submission)
    model = find_model(as_path("model", folders.model))
    sockets = sockets_for(form, folders.sockets, (folders.model, model))
    values = read(folders.input, sockets)
    from nnunet_prompt.inference.predictor import PromptPredictor

    predictor = PromptPredictor.from_folder(model, options)
    job = job_for(predictor, values, sockets, submission)
    make_folder(folders.output)
    check_writable(folders.output)
    if folders.state is not None:
        job = with_earlier(job, folders.state)
    answered = answer(predictor, job, budget)
    write_outputs(
        answered.labels, job.reference, sockets, folder=folders.output, table=predictor.table
    )
    if folders.state is not None:
        keep_for_next(job, answered.labels, folders.state)
    return conclude(job, answered, folders.output, submission)


def job_for(
    predictor: Predictor, values: list[SocketValue], sockets: Sockets, submission: SubmitOptions
) -> Job:
    """The job of these sockets. Raises `NNUNetPromptError` also where the images do not fit the model."""
    job = make_job(values, sockets, table=predictor.table, convention=submission.convention)
    for name in sockets.structures:
        predictor.table.find(name)
    n, wanted = len(job.volumes), predictor.n_image_channels
    sequences = any(one.socket.sequence for one in values)
    if n != wanted and not (sequences and wanted in (1, 3)):
        slugs = ", ".join(one.slug for one in values if one.socket.role == "image")
        raise NNUNetPromptError(
            f"the model takes {wanted} image channel(s), the job has {n}: {slugs}; state in a sockets file which are"
            ' used, such as {"role": "image", "channel": 0}, and which are {"role": "ignored"}'
        )
    return job


def conclude(job: Job, answered: Answered, output: Path, submission: SubmitOptions) -> int:
    """Logs what went wrong with a job, adds it to the report, and returns 1 for a degraded one, else 0.

    Raises `NNUNetPromptError` for a degraded one if `strict`.
    """
    for line in (*answered.notes, *map(str, answered.troubles)):
        _log.warning(line)
    if submission.report is not None:
        report = Report(submission.report, output)
        entry = entry_of(answered.troubles, tiles=answered.tiles, notes=answered.notes)
        report.add({job.case: entry})
    if answered.troubles and submission.strict:
        raise NNUNetPromptError(f"{output}: --strict, and the job is degraded (reasons above)")
    return int(bool(answered.troubles))


def check_folders(folders: Folders, submission: SubmitOptions) -> None:
    """Raises `NNUNetPromptError` for an input that is no folder, and for an output or a report among the inputs."""
    if not folders.input.is_dir():
        raise NNUNetPromptError(f"{folders.input}: no such folder; it must hold the job")
    if folders.output.resolve().is_relative_to(folders.input.resolve()):
        raise OutputError(
            f"{folders.output}: the output must lie outside the input {folders.input}, which is never written to"
        )
    inputs = [folders.input, *model_folders(folders.model)]
    check_output_folder(folders.output, inputs)
    if folders.state is not None:
        check_output_folder(folders.state, inputs, searched=[folders.input], option="--state")
    if submission.report is not None:
        check_report_path(
            submission.report, input_folder=folders.input, output_folder=folders.output
        )
        check_output_file(submission.report, inputs, option="--report")
