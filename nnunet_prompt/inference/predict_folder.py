"""`nnunet-prompt predict`: a folder of images to a folder of label maps."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunet_prompt.common.arguments import as_path, check_type
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.case_runner import (
    Run,
    StagedPredictor,
    all_failures,
    each_case,
)
from nnunet_prompt.inference.disagreement import FOLDER as UNCERTAINTY
from nnunet_prompt.inference.disagreement import check_support, uncertainty_path
from nnunet_prompt.inference.given import as_names, as_options
from nnunet_prompt.inference.inputs import check_there, input_files, mask_name
from nnunet_prompt.inference.low_memory import predict_in_memory
from nnunet_prompt.inference.monitor import Monitor
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_case import (
    Asked,
    CaseToDo,
    LoadedCase,
    MaskedCase,
    Tally,
    in_short,
    load_case,
    predict_case,
    write_mask,
)
from nnunet_prompt.inference.probabilities import structure_keys
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.guard import (
    check_output_file,
    check_output_folder,
    check_targets,
    model_folders,
)
from nnunet_prompt.io.image_cases import ImageCase, group_channels
from nnunet_prompt.io.mask_file import is_finished
from nnunet_prompt.io.probability_file import FOLDER, WHOLE, probability_path
from nnunet_prompt.networks.capability import check_is_model
from nnunet_prompt.prompt_files.prompt_file import PromptFile, load_prompts
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predicted:
    """How many masks were written, and how many were there before and kept."""

    written: int
    kept: int = 0


def predict_folder(
    images: Path | str,
    output: Path | str,
    *,
    model: Path | str,
    prompts: Path | str | PromptFile | None = None,
    structures: Sequence[str | int] = (),
    refine: Path | str | None = None,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    run_options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> Predicted:
    """Writes OUTPUT/CASE.nii.gz for each case of a folder, on its own grid and with its own header.

    `images` may also be one image file, or a folder with one DICOM series. A mask has the format of its image
    (`inference.inputs`).

    With prompts (a file or folder of any form that `load_prompts` reads) the object head answers each label, and a case
    that they do not name is an error of that case; how a prompts.json is read is inferred from all images and reported.
    With `refine`, a folder of automatic masks, prompts correct these: each prompted label begins with its part of the
    automatic mask, the others stay as they are, and a case without prompts keeps its mask.
    Without prompts the structure heads answer, all or those in `structures`. Existing masks are kept without
    `run_options.overwrite`, and always with `run_options.dask`. Raises `NNUNetPromptError` for arguments that do not
    fit, and after the last case, if a case failed; the others keep their masks.
    """
    from nnunet_prompt.inference.predictor import PromptPredictor

    images, output = as_path("images", images), as_path("output", output)
    model, options = as_path("model", model), as_options(options)
    check_type("run_options", run_options, RunOptions, "RunOptions(overwrite=False)")
    asked = _ask(prompts, as_names(structures), refine, uncertainty=run_options.uncertainty)
    check_there(images)  # before the model is loaded
    asked = replace(
        asked,
        prompts=_load(prompts, run_options),
        probabilities=run_options.probabilities,
        uncertainty=run_options.uncertainty,
    )
    _check_output(output, images=images, model=model, asked=asked)
    if run_options.monitor is not None:
        check_output_file(run_options.monitor, [images, model], option="--monitor")
    here = options if run_options.dask is None else replace(options, device="cpu")
    predictor = PromptPredictor.from_folder(model, here)
    if asked.uncertainty:
        check_support(predictor.model)
    files = input_files(images, predictor.reader)
    for name in asked.structures:
        predictor.table.find(name)
    found, asked = _group(files, asked, predictor, run_options)
    cases = run_options.part(
        [CaseToDo(o, output / mask_name(o.case, o.first, predictor.reader)) for o in found]
    )
    _check_targets(cases, asked)
    make_folder(output)
    kept = Kept(predictor.table, asked)
    todo = [one for one in cases if run_options.overwrites or not kept.is_done(one)]
    if todo:
        check_writable(output)
    if run_options.dask is None:
        monitor = run_options.monitor and Monitor(run_options.monitor, predictor, asked)
        run = predict_cases(
            predictor, todo, asked, verbose=run_options.verbose, monitor=monitor or None
        )
    else:
        from nnunet_prompt.inference.dask_cluster import predict_on_cluster

        del predictor  # the workers have their own
        run = predict_on_cluster(todo, asked, model=model, options=options, run_options=run_options)
    return _conclude(run, cases=len(cases), done=len(todo))


@dataclass(frozen=True, slots=True)
class Kept:
    """Which masks of an earlier run are kept: those that this run could have written (`io.mask_file`)."""

    table: StructureTable
    asked: Asked

    def is_done(self, case: CaseToDo) -> bool:
        """Whether the mask of a case is finished; a file that is merely there may be what a killed run left.

        Where probabilities are asked for, they must be finished, too.
        """
        images, name = case.images.ordered, case.images.case
        if not is_finished(case.target, images, self._labels(name)):
            return False
        unsure = uncertainty_path(case.target)
        if self.asked.uncertainty and not is_finished(unsure, images, range(WHOLE + 1)):
            return False
        return all(
            is_finished(probability_path(case.target, key), images, range(WHOLE + 1))
            for key in (self._keys(name) if self.asked.probabilities else ())
        )

    def _keys(self, case: str) -> Iterable[str]:
        if self.asked.prompts is not None:
            return map(str, self.asked.prompts.labels(case, texts=False))
        return structure_keys(self.table, self.asked.structures)

    def _labels(self, case: str) -> frozenset[int]:
        prompted = frozenset[int]()
        if self.asked.prompts is not None:
            prompted = self.asked.prompts.labels(case)
            if self.asked.refine is None:
                return prompted
        names = self.asked.structures or self.table.names
        return prompted | {self.table.find(name).official for name in names}


def _ask(
    prompts: object,
    structures: tuple[str, ...],
    refine: Path | str | None,
    *,
    uncertainty: bool = False,
) -> Asked:
    """The request, without the prompts yet. Raises `NNUNetPromptError` for arguments that do not go together."""
    if prompts is not None and uncertainty:
        raise NNUNetPromptError(
            "uncertainty: of what a support set shows, not of prompts; give it without -p"
        )
    if prompts is not None and structures:
        raise NNUNetPromptError(
            "prompts and structures: give either a prompts file or names, not both"
        )
    if refine is None:
        return Asked(None, structures)
    if prompts is None:
        raise NNUNetPromptError(
            "refine: automatic masks are corrected by prompts; give prompts with -p, too"
        )
    masks = as_path("refine", refine)
    if not masks.is_dir():
        raise NNUNetPromptError(
            f"{masks}: no such folder; --refine names a folder with an automatic mask of each case, such as what"
            " `nnunet-prompt predict` without -p wrote"
        )
    return Asked(None, structures, masks)


def _check_output(output: Path, *, images: Path, model: Path, asked: Asked) -> None:
    """Raises `OutputError` for an output among the inputs; a model that is missing is reported first."""
    inputs = [images, *model_folders(model)]
    inputs += [] if asked.prompts is None else [asked.prompts.path]
    inputs += [] if asked.refine is None else [asked.refine]
    try:
        check_output_folder(output, inputs)
        if asked.probabilities:
            check_output_folder(output / FOLDER, inputs)
        if asked.uncertainty:
            check_output_folder(output / UNCERTAINTY, inputs)
    except NNUNetPromptError:
        check_is_model(model)
        raise


def _check_targets(cases: Sequence[CaseToDo], asked: Asked) -> None:
    """Raises `OutputError` if a mask would take the place of an image or of a mask that is a prompt."""
    images = [path for case in cases for paths in case.images.files.values() for path in paths]
    masks = () if asked.prompts is None else asked.prompts.masks
    check_targets([case.target for case in cases], (*images, *masks))


def predict_cases(
    predictor: StagedPredictor,
    cases: Sequence[CaseToDo],
    asked: Asked,
    *,
    verbose: bool = False,
    monitor: Monitor | None = None,
) -> Run[Tally | None]:
    """Predicts cases and writes their masks, one after the other, whether there are some or not.

    The next case is read and preprocessed, and the last one written, while the network is busy with this one. A
    `monitor` notes what came out.
    """

    def load(case: CaseToDo) -> LoadedCase:
        loaded = load_case(predictor, case, asked)
        for note in loaded.notes:
            _log.warning("case %s: %s", case.images.case, note)
        return loaded

    def work(loaded: LoadedCase) -> MaskedCase:
        return _in_memory(predictor, loaded, asked)

    return each_case(
        ((case.images.case, case) for case in cases),
        load=load,
        work=work if monitor is None else monitor.around(work),
        write=write_mask if monitor is None else monitor.then(write_mask),
        verb="predict",
        verbose=verbose,
    )


def _in_memory(predictor: StagedPredictor, loaded: LoadedCase, asked: Asked) -> MaskedCase:
    """Asks the network; where memory is short, with less of it, which is reported."""

    def ask(variant: Any) -> MaskedCase:
        return predict_case(variant, loaded, asked)

    masked, used = predict_in_memory(predictor, ask)
    if used is not None:
        about = "" if used.exact else ", so that its mask may differ"
        name = loaded.case.images.case
        _log.warning(
            "case %s: there was too little memory; done %s%s", name, used.description, about
        )
    return masked


def _conclude(run: Run[Tally | None], *, cases: int, done: int) -> Predicted:
    tallies = [tally for tally in run.done.values() if tally is not None]
    if tallies:
        _log.info(in_short(tallies))
    if run.failed:
        raise all_failures(run.failed, cases)
    return Predicted(done, cases - done)


def _load(prompts: Path | str | PromptFile | None, run_options: RunOptions) -> PromptFile | None:
    if prompts is None and run_options.convention != ALL_OPEN:
        raise NNUNetPromptError(
            "--order, --base and --inclusive state the convention of a prompts.json: give prompts with -p, too"
        )
    if isinstance(prompts, (str, Path)):
        return load_prompts(prompts, convention=run_options.convention, axes=run_options.axes)
    if prompts is not None and not isinstance(prompts, PromptFile):
        raise NNUNetPromptError(
            f"prompts: expected a path or what load_prompts returns, found {type(prompts).__name__}"
        )
    if prompts is not None and (run_options.convention, run_options.axes) != (ALL_OPEN, None):
        raise NNUNetPromptError(
            "prompts: they are loaded already; give convention and axes to load_prompts"
        )
    return prompts


def _group(
    files: Sequence[Path], asked: Asked, predictor: StagedPredictor, run_options: RunOptions
) -> tuple[list[ImageCase], Asked]:
    """The cases of a folder, sorted by name, and what is asked of them, its prompts assigned to them."""
    cases = group_channels(
        files,
        keys=asked.named,
        n_channels=predictor.n_image_channels,
        whole_names=run_options.whole_names,
    )
    return cases, asked.with_images(cases, predictor.table)
