"""The challenge run: INPUT/images and INPUT/prompts.json to one OUTPUT/<case>_pred.nii.gz per case.

A case never stops the others. Where its image, its prompts or its prediction fail, the mask comes from what is left:
the prompts alone, or zeros. stderr reports which case, at which stage and why, in one line each. A run that was stopped
resumes: a mask appears under its name only when it is complete, and is kept if it is what `--check` wants.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.challenge.budget import Budget
from nnunet_prompt.challenge.case_run import CaseRun, Setting, Trouble
from nnunet_prompt.challenge.check import Expected
from nnunet_prompt.challenge.report import Entry, Report, check_report_path, entry_of
from nnunet_prompt.common.arguments import as_path, check_type, finite_number, true_or_false
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError, PromptFileError
from nnunet_prompt.common.log import progress
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.case_runner import report as report_reading
from nnunet_prompt.inference.given import as_options
from nnunet_prompt.inference.low_memory import passes_per_tile
from nnunet_prompt.io.atomic import check_writable, make_folder, remove_partials
from nnunet_prompt.io.guard import check_output_file, check_output_folder, model_folders
from nnunet_prompt.io.image_cases import ImageCase, find_key, group_images, image_files
from nnunet_prompt.io.resources import free_bytes
from nnunet_prompt.prompt_files.infer_convention import Reading, settle
from nnunet_prompt.prompt_files.prompts_json import PromptsJson, read_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

_log = logging.getLogger(__name__)

MANY = 20  # cases without an image that are reported one by one


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How a challenge folder is answered.

    convention      what the user knows of prompts.json; the rest is inferred once, from all cases, done or not
    strict          refuse to guess, and raise at the end if a case could not be done as it should
    overwrite       do the cases again whose masks are there
    report          a JSON file with what became of each case; it lies outside the input and the output folder
    budget_minutes  every case has its mask by then, if need be from the prompts alone

    Raises `NNUNetPromptError` for anything else.
    """

    convention: GivenConvention = ALL_OPEN
    strict: bool = False
    overwrite: bool = False
    report: Path | None = None
    budget_minutes: float | None = None

    def __post_init__(self) -> None:
        check_type("convention", self.convention, GivenConvention, "GivenConvention('yx')")
        for name in ("strict", "overwrite"):
            true_or_false(name, getattr(self, name))
        if self.report is not None:
            object.__setattr__(self, "report", as_path("report", self.report))
        if self.budget_minutes is not None:
            finite_number("budget_minutes", self.budget_minutes, 60.0)

    def start(self) -> Budget:
        """The budget, which runs from now on."""
        return Budget(None if self.budget_minutes is None else self.budget_minutes * 60)


DEFAULTS = SubmitOptions()


def submit(
    input_folder: Path | str,
    output_folder: Path | str,
    *,
    model: Path | str,
    options: PredictOptions,
    submission: SubmitOptions = DEFAULTS,
) -> int:
    """Runs the challenge folder and returns how many cases are degraded. The model is loaded once.

    Raises `NNUNetPromptError` at the end if an image has no mask, or, if `strict`, if any case is degraded; at the
    start if the folders, the report or the model cannot be used or there is no prompts.json. One that cannot be read as
    a whole names no label, so all masks are empty (refused if `strict`).
    """
    check_type("submission", submission, SubmitOptions, "SubmitOptions(strict=True)")
    budget, options = submission.start(), as_options(options)
    input_folder, model = as_path("input_folder", input_folder), as_path("model", model)
    output_folder = as_path("output_folder", output_folder)
    _check_folders(input_folder, output_folder, model, submission)
    images = image_files(input_folder / "images")
    prompts = _read_prompts(input_folder / "prompts.json", strict=submission.strict)
    from nnunet_prompt.inference.predictor import PromptPredictor

    predictor = PromptPredictor.from_folder(model, options)
    troubles = run_cases(
        predictor,
        prompts,
        images=images,
        output_folder=output_folder,
        submission=submission,
        budget=budget,
    )
    return _conclude(troubles, output_folder, strict=submission.strict)


def run_cases(
    predictor: Predictor,
    prompts: PromptsJson,
    *,
    images: Iterable[Path],
    output_folder: Path,
    submission: SubmitOptions = DEFAULTS,
    budget: Budget | None = None,
) -> list[Trouble]:
    """Writes the mask of every case and returns what went wrong, which it also logs.

    Existing masks are kept unless `overwrite` is set. Keys of `prompts` without an image are troubles
    too. Raises `NNUNetPromptError` before the first case if the report cannot be written or, if `strict`, the prompts
    leave something to guess.
    """
    budget = budget or submission.start()
    cases = group_images(images, keys=prompts.cases, n_channels=predictor.n_image_channels)
    keys = {case.case: find_key(prompts.cases, case.case) for case in cases}
    reading = _settle(prompts, cases, keys, submission)
    make_folder(output_folder)
    remove_partials(output_folder)
    report = Report(submission.report, output_folder, notes=(*reading.notes, *reading.guessed))
    report.forget({*keys, *prompts.cases})
    setting = Setting(predictor, prompts, reading, budget, free_bytes())
    targets = {case.case: output_folder / f"{case.case}_pred.nii.gz" for case in cases}
    expected = {c.case: Expected(c, keys[c.case], prompts, reading) for c in cases}
    todo = [
        c for c in cases if submission.overwrite or not expected[c.case].is_met(targets[c.case])
    ]
    if todo:
        check_writable(output_folder)
    left_over = {case.case for case in cases} - {case.case for case in todo}
    _add(report, {case: report.earlier.get(case, Entry("kept")) for case in sorted(left_over)})
    for i, case in enumerate(progress(todo, "submit")):
        entry = _run(setting, case, keys[case.case], targets[case.case], left=len(todo) - i)
        for line in (*(f"case {case.case!r}: {n}" for n in entry.notes), *entry.troubles):
            _log.warning(str(line))
        _log.debug(
            "case %r: %s, %d tiles, %.1f s", case.case, entry.status, entry.tiles, entry.seconds
        )
        _add(report, {case.case: entry})
    lost = _without_image(prompts, set(keys.values()))
    _add(report, {trouble.case: Entry("missing", troubles=(trouble,)) for trouble in lost})
    return [trouble for entry in report.entries.values() for trouble in entry.troubles]


def _without_image(prompts: PromptsJson, found: Collection[str | None]) -> list[Trouble]:
    """The cases that the prompts name, but that have no image; the first of them are logged."""
    reason = f"{prompts.source} names it, but it has no image"
    lost = [Trouble(key, "prompts", reason) for key in prompts.cases if key not in found]
    for trouble in lost[:MANY]:
        _log.warning(str(trouble))
    if len(lost) > MANY:
        _log.warning(f"{len(lost) - MANY} more cases of {prompts.source} have no image")
    return lost


def _read_prompts(path: Path, *, strict: bool) -> PromptsJson:
    """The prompts; none, if the file cannot be read as a whole. Raises `PromptFileError` if there is no file."""
    try:
        return read_prompts_json(path)
    except PromptFileError as error:
        if strict or not path.is_file():
            raise
        _log.error(f"{error}; it names no label, so EVERY MASK IS EMPTY")
        return PromptsJson(path.name, {})


def _run(setting: Setting, case: ImageCase, key: str | None, target: Path, *, left: int) -> Entry:
    """Does one case, the first of `left`."""
    budget = setting.budget
    run = CaseRun(setting, case, key)
    begun = budget.clock()
    effort = budget.plan(left, passes_per_tile(setting.predictor))
    loaded = run.load(voxels=effort.voxels)
    network = 0.0
    if loaded is not None:
        before = budget.clock()
        labels = run.predict(loaded, effort)
        network = budget.clock() - before
        run.write(loaded, labels, target)
    seconds = budget.clock() - begun
    budget.learn(effort, network if run.tiles else 0.0, seconds - network)
    return entry_of(run.troubles, seconds=seconds, tiles=run.tiles, notes=run.notes)


def _settle(
    prompts: PromptsJson,
    cases: Sequence[ImageCase],
    keys: Mapping[str, str | None],
    submission: SubmitOptions,
) -> Reading:
    """How prompts.json is to be read; finished cases count, too, so that a restart changes nothing."""
    named = [(key, case.first) for case in cases if (key := keys[case.case]) is not None]
    reading = settle(prompts, named, submission.convention)
    report_reading(reading)
    if submission.strict and reading.guessed:
        raise NNUNetPromptError(
            f"--strict, and prompts.json leaves something open: {reading.guessed[0]}"
        )
    return reading


def _check_folders(
    input_folder: Path, output_folder: Path, model: Path, submission: SubmitOptions
) -> None:
    if output_folder.resolve().is_relative_to(input_folder.resolve()):
        raise OutputError(
            f"{output_folder}: the output must lie outside the input {input_folder}, which is never written to"
        )
    inputs = [input_folder, input_folder / "images", *model_folders(model)]
    check_output_folder(output_folder, inputs)
    if submission.report is not None:
        check_report_path(submission.report, input_folder=input_folder, output_folder=output_folder)
        check_output_file(submission.report, inputs, option="--report")


def _add(report: Report, entries: Mapping[str, Entry]) -> None:
    try:
        report.add(entries)
    except NNUNetPromptError as error:  # the masks matter more
        _log.warning(str(error))


def _conclude(troubles: Sequence[Trouble], output_folder: Path, *, strict: bool) -> int:
    degraded = {t.case for t in troubles}
    lost = sorted({t.case for t in troubles if not t.has_mask})
    if lost:
        raise NNUNetPromptError(
            f"{output_folder}: {len(lost)} case(s) have no mask: {', '.join(lost)} (reasons above)"
        )
    if strict and degraded:
        raise NNUNetPromptError(
            f"{output_folder}: --strict, and {len(degraded)} case(s) are degraded:"
            f" {', '.join(sorted(degraded))} (reasons above)"
        )
    return len(degraded)
