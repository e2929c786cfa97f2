"""The report of masks: one or two folders of predictions against a folder of label maps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.common.arguments import as_path
from nnunet_prompt.common.errors import DatasetError, ImageError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.structures import StructureTable, structures_from_dataset_json
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.evaluation.processes import run_all
from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.io.image_cases import SEQUENCES
from nnunet_prompt.io.image_files import image_ending, without_image_ending
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.resources import container_limits
from nnunet_prompt.prompt_files.prompt_file import PromptFile, load_prompts
from nnunet_prompt.report.made_by import (
    Fact,
    dataset_facts,
    find_model,
    model_facts,
    report_facts,
)
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.page import check_page, write_page
from nnunet_prompt.report.pictures import (
    LEAST_BYTES,
    MOST_BYTES,
    SLICES,
    CasePictures,
    PictureJob,
    job_died,
    run_job,
)
from nnunet_prompt.report.sections import masks_page
from nnunet_prompt.report.study import Arm, Study

MANY, MOST_PROCESSES = 16, 8  # cases from which on several processes pay, and how many these are
IMAGES_BYTES = 11_000_000  # of all images in a page
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """A report that is written: the file, how many cases are in it, and the reasons of those that are not scored."""

    path: Path
    cases: int
    failed: Mapping[str, str]


def write_report(
    labels: Path | str,
    predictions: Sequence[Path | str],
    output: Path | str,
    *,
    options: ReportOptions | None = None,
) -> Written:
    """Writes one HTML file about the masks of one folder, or of two side by side.

        write_report("labelsTs", ["masks"], "report.html", options=ReportOptions(images=Path("imagesTs")))

    Raises `NNUNetPromptError` for folders that do not fit each other, as `evaluate_folders` does; what is wrong with a
    single case is stated on the page, and in the result. `num_processes` above 1 needs `if __name__ == "__main__"`.
    """
    options = options or ReportOptions()
    labels, output = as_path("labels", labels), as_path("output", output)
    folders = [as_path("predictions", folder) for folder in predictions]
    _check(labels, folders, output, options)
    names = _arm_names(folders)
    arms = tuple(
        Arm(name, folder, _scored(labels, folder, options))
        for name, folder in zip(names, folders, strict=True)
    )
    study = Study(labels, arms)
    if not study.cases:
        case, why = next(iter(study.failed.items()), ("", "no case has both files"))
        raise ImageError(f"{labels}: no case can be scored; {case}: {why}")
    _check_groups(study, options.groups)
    pictures = _pictures(study, options)
    facts = _facts(study, options)
    write_page("masks.html", output, page=masks_page(study, pictures, facts, options))
    return Written(output, len(study.cases), study.failed)


def _check(labels: Path, folders: Sequence[Path], output: Path, options: ReportOptions) -> None:
    if len(folders) not in (1, 2):
        raise NNUNetPromptError(
            f"predictions: expected one or two folders of masks, found {len(folders)}"
        )
    if len(folders) == 2 and folders[0].exists() and _same(*folders):
        raise NNUNetPromptError(
            f"{folders[0]} and {folders[1]} are one folder: give two folders of masks, or one of them"
        )
    given = (options.images, options.prompts, options.groups, options.model)
    named = [Path(options.names)] if isinstance(options.names, (str, Path)) else []
    check_output_file(output, [labels, *folders, *(p for p in given if p is not None), *named])
    check_page(output)
    for path in given:
        if path is not None and not path.exists():
            raise NNUNetPromptError(f"{path}: no such file or folder")


def _same(first: Path, second: Path) -> bool:
    return second.exists() and first.samefile(second)


def _arm_names(folders: Sequence[Path]) -> list[str]:
    """Names that distinguish the folders: their own, or as much of their paths as it takes."""
    parts = [folder.absolute().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _scored(labels: Path, folder: Path, options: ReportOptions) -> Evaluation:
    count = len(files_by_case(labels))
    return evaluate_folders(
        labels,
        folder,
        folder_options=FolderOptions(
            names=options.names,
            missing=options.missing,
            extra=options.extra,
            num_processes=processes_for(options, count),
        ),
        options=EvaluateOptions(groups=options.groups),
    )


def processes_for(options: ReportOptions, count: int) -> int:
    """How many processes some cases are worth."""
    if options.num_processes is not None:
        return options.num_processes
    return min(container_limits().cpus, MOST_PROCESSES) if count >= MANY else 1


def _check_groups(study: Study, file: Path | None) -> None:
    if file is not None and not study.columns:
        raise NNUNetPromptError(
            f"{file}: groups no case that is scored; expected for example {study.cases[0]!r} in its column case, and a"
            " group that several cases share in another one"
        )


def _facts(study: Study, options: ReportOptions) -> list[Fact]:
    facts = [*report_facts(options.command), Fact("Label maps", str(study.labels), code=True)]
    facts += [Fact("Masks", str(arm.folder), code=True) for arm in study.arms]
    facts += [
        Fact(title, str(path), code=True)
        for title, path in (("Images", options.images), ("Prompts", options.prompts))
        if path is not None
    ]
    facts += dataset_facts(study.labels)
    found = [options.model or find_model(arm.folder) for arm in study.arms]
    for model in dict.fromkeys(found):
        facts += (
            [Fact("Model", "not known: name it with -m")] if model is None else model_facts(model)
        )
    return facts


# The pictures ---------------------------------------------------------------------------------------------------


def _pictures(study: Study, options: ReportOptions) -> dict[str, CasePictures]:
    jobs = _jobs(study, options)
    done = run_all(run_job, jobs, processes_for(options, len(jobs)), died=job_died)
    found = zip(jobs, progress(done, "pictures", total=len(jobs)), strict=True)
    return {job.case: pictures for job, pictures in found}


def _jobs(study: Study, options: ReportOptions) -> list[PictureJob]:
    references = files_by_case(study.labels)
    masks = [files_by_case(arm.folder) for arm in study.arms]
    images = {} if options.images is None else images_of(options.images, study.cases)
    prompts = _prompts(
        options.prompts, {c: images.get(c, references[c][0]) for c in study.cases}, study.labels
    )
    shares = len(study.cases) * len(study.arms) * SLICES
    most = min(MOST_BYTES, max(LEAST_BYTES, IMAGES_BYTES // max(shares, 1)))
    named = {int(key): name for key, name in study.structures.items() if key.isdecimal()}
    return [
        PictureJob(
            case,
            references[case][0],
            tuple(next(iter(files.get(case, ())), None) for files in masks),
            images.get(case),
            None if prompts is None or case not in prompts[1] else prompts[0].only(case),
            named,
            most,
        )
        for case in study.cases
    ]


def images_of(folder: Path, cases: Sequence[str]) -> dict[str, Path]:
    """The first image of each case. Raises `NNUNetPromptError` for a folder that has none of any."""
    if not folder.is_dir():
        raise NNUNetPromptError(f"{folder}: not a folder: give the folder of the images with -i")
    files = [p for p in sorted(folder.iterdir()) if image_ending(p.name) and p.is_file()]
    stems = {composed(without_image_ending(p.name)): p for p in reversed(files)}
    ends = ("", "_0000", *(f"_{sequence}" for sequence in SEQUENCES))
    names = {case: [composed(case) + end for end in ends] for case in cases}
    found = {
        case: next((stems[n] for n in tried if n in stems), None) for case, tried in names.items()
    }
    wanted = {case: path for case, path in found.items() if path is not None}
    if not wanted:
        raise NNUNetPromptError(
            f"{folder}: holds no image of the cases: expected for example {next(iter(cases), 'case')}_0000.nii.gz,"
            f" found {files[0].name if files else 'no image'}"
        )
    return wanted


def _prompts(
    path: Path | None, images: Mapping[str, Path], labels: Path
) -> tuple[PromptFile, frozenset[str]] | None:
    """The prompts, assigned to cases, and the cases that have some."""
    if path is None:
        return None
    file = load_prompts(path).for_images(images, table=_structures(labels))
    return file, frozenset(images) - frozenset(file.without_prompts(images))


def _structures(labels: Path) -> StructureTable | None:
    """The structures that prompts may name, where the data set of the label maps states them."""
    for folder in (labels, labels.absolute().parent):
        try:
            return structures_from_dataset_json(read_object(folder / "dataset.json", DatasetError))
        except NNUNetPromptError:
            continue
    return None
