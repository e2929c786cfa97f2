"""Arguments of `nnunet-prompt train`, completed by defaults that work here and checked before nnU-Net starts."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError, OutputError, did_you_mean
from nnunet_prompt.data.planned import (
    Planned,
    dataset_folder,
    open_planned,
    plans_of,
    read_planned,
    refuse_cascade,
)
from nnunet_prompt.data.splits import fold_of
from nnunet_prompt.io.guard import lies_in
from nnunet_prompt.training.external_trainers import trainer_files, trainers_dir
from nnunet_prompt.training.resume import (
    check_resumable,
    check_start,
    check_validatable,
    to_resume_from,
)
from nnunet_prompt.training.schedule import check_device

TRAINER, CPU_TRAINER = "nnUNetTrainerPrompt", "nnUNetTrainerPromptCPU"
PLANS, CPU_PLANS = "nnUNetPlans", "nnUNetPromptCPUPlans"
SMALL = (  # made for a CPU
    CPU_TRAINER,
    "nnUNetTrainerPromptCPUExperts",
    "nnUNetTrainerPromptCPUSupport",
    "nnUNetTrainerPromptDemo",
    "nnUNetTrainerPlainCPU",
)
_PLAIN = ("nnUNetTrainerPlainCPU",)  # of ours, those without prompts


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """The arguments of nnUNetv2_train; "" for a trainer, plans or a device that is left to us."""

    dataset: str
    configuration: str
    fold: int | str
    trainer: str = ""
    plans: str = ""
    device: str = ""
    gpus: int = 1
    resume: bool = False
    validate: bool = False
    validate_best: bool = False
    start: Path | None = None
    own_options: bool = False  # --iterations or --seed, which only our trainers know

    @property
    def model(self) -> Path:
        """The folder of the model to train; nnU-Net takes the names that stand in the plans."""
        folder = dataset_folder(self.dataset)
        plans = read_planned(folder / f"{self.plans}.json")
        name = f"{self.trainer}__{plans.get('plans_name', self.plans)}__{self.configuration}"
        dataset = str(plans.get("dataset_name", folder.name))
        return Path(os.environ["nnUNet_results"]) / dataset / name

    @property
    def fold_folder(self) -> Path:
        return self.model / f"fold_{self.fold}"


def completed(asked: TrainRequest) -> tuple[TrainRequest, list[str]]:
    """The request with a trainer, plans and a device, and a line for each choice that was made.

    Our trainer; CUDA where there is some, else the CPU; the small plans where these are there and the trainer is made
    for a CPU, or runs on one. Raises `NNUNetPromptError` for an unknown data set or trainer, for a device that is not
    there, and for a trainer that is made for a CPU where only large plans are there and none is named.
    """
    folder = dataset_folder(asked.dataset)
    trainer = asked.trainer or TRAINER
    check_trainer(trainer)
    if asked.own_options and _is_stock(trainer):
        raise NNUNetPromptError(
            f"--iterations and --seed: {trainer} is nnU-Net's own and knows neither; give -tr {TRAINER}, for one"
        )
    device = asked.device or _device_here()
    check_device(device, gpus=asked.gpus)
    small = (folder / f"{CPU_PLANS}.json").is_file()
    plans = asked.plans
    if not plans and trainer in SMALL and not small and plans_of(folder):
        raise NNUNetPromptError(
            f"-tr {trainer}: is made for small plans, and {folder} has no {CPU_PLANS}.json: run `nnunet-prompt plan"
            f" -d {folder.name[7:10]}` first, or name the large plans with -p {PLANS}"
        )
    plans = plans or (CPU_PLANS if small and (device == "cpu" or trainer in SMALL) else PLANS)
    done = replace(asked, trainer=trainer, plans=plans, device=device)
    return done, list(_choices(asked, done, small=small))


def check(request: TrainRequest) -> Planned:
    """Raises `NNUNetPromptError` for what nnU-Net would end in a traceback, or take for something else."""
    planned = open_planned(request.dataset, request.plans, request.configuration)
    _check_apart(request, planned)
    if _is_promptable(request.trainer):
        refuse_cascade(planned.plans, request.configuration)
    cases = planned.cases()
    fold = fold_of(planned.folder, request.fold, cases)
    _check_references(planned, fold.val or tuple(cases))
    found = to_resume_from(request.fold_folder)
    if request.validate:
        try:
            check_validatable(request.fold_folder, best=request.validate_best)
        except ModelError as error:
            raise ModelError(f"{error}{_elsewhere(request)}") from None
    elif request.resume and found is not None:
        check_resumable(found)
    if request.start is not None and _is_promptable(request.trainer):
        check_start(request.start, planned)
    elif request.start is not None and not request.start.is_file():
        raise NNUNetPromptError(f"-pretrained_weights: {request.start}: no such file")
    _check_writable(request.fold_folder)
    return planned


def warnings_before(request: TrainRequest) -> Iterator[str]:
    """A line for an earlier training that is replaced, and for a `--c` that finds none; nnU-Net goes ahead."""
    found = to_resume_from(request.fold_folder)
    if request.resume and found is None:
        yield f"--c: no checkpoint in {request.fold_folder}, a new training begins{_elsewhere(request)}"
    if not request.resume and not request.validate and found is not None:
        yield f"{found}: is of an earlier training, which this one replaces; --c resumes it"


def check_trainer(name: str) -> None:
    """Raises `NNUNetPromptError` for a trainer that nnU-Net would not find."""
    known = trainer_files()
    if name in known:
        return
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:  # made in another way than by a class statement, or not called a trainer
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules of nnU-Net that are imported on the way
            recursive_find_trainer_class_by_name(name)
    except (RuntimeError, AssertionError):
        close = did_you_mean(name, known)
        ours = [n for n, path in known.items() if path.is_relative_to(trainers_dir())]
        close = close if "did you mean" in close else did_you_mean("", ours)
        raise NNUNetPromptError(f"-tr {name}: no such trainer{close}") from None


def _is_stock(trainer: str) -> bool:
    path = trainer_files().get(trainer)
    return path is not None and "nnunetv2" in path.parts


def _is_promptable(trainer: str) -> bool:
    """Whether a trainer is one of this package that takes prompts; what users made is not looked into."""
    path = trainer_files().get(trainer)
    ours = path is not None and path.is_relative_to(trainers_dir())
    return ours and trainer not in _PLAIN


def _elsewhere(request: TrainRequest) -> str:
    """Other trainings of this fold: the same command may have been meant with their trainer and plans."""
    folds = request.model.parent.glob(f"*__*__{request.configuration}/fold_{request.fold}")
    found = sorted(f.parent.name for f in folds if f != request.fold_folder and to_resume_from(f))
    if not found:
        return ""
    trainer, plans, _ = found[0].split("__", 2)
    return f"; there is one of {found[0]}: -tr {trainer} -p {plans}"


def _device_here() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _choices(asked: TrainRequest, done: TrainRequest, *, small: bool) -> Iterator[str]:
    chosen = [f"-tr {done.trainer}"] * (not asked.trainer)
    chosen += [f"-p {done.plans}"] * (not asked.plans)
    chosen += [f"-device {done.device}"] * (not asked.device)
    if chosen:
        why = " (no GPU here)" if not asked.device and done.device == "cpu" else ""
        yield f"chosen: {' '.join(chosen)}{why}"
    if done.device == "cpu" and not asked.plans and not small:
        yield f"plans of this size take very long on a CPU: `nnunet-prompt plan -d {asked.dataset}` makes smaller ones"
    if done.device == "cpu" and not asked.trainer:
        yield f"nnU-Net's 250,000 iterations take very long on a CPU: -tr {CPU_TRAINER} has 1,200; or give --iterations"


def _check_apart(request: TrainRequest, planned: Planned) -> None:
    """Raises `OutputError` where the training would write among the preprocessed data, or over what it starts from."""
    if lies_in(request.fold_folder, planned.folder):
        raise OutputError(
            f"nnUNet_results={os.environ['nnUNet_results']}: lies among the inputs in {planned.folder}, which is never"
            " written to: set nnUNet_results to another folder"
        )
    if (
        request.start is not None
        and request.start.exists()
        and lies_in(request.start, request.fold_folder)
    ):
        raise OutputError(
            f"-pretrained_weights: {request.start}: lies in the folder that this training replaces: copy it to another"
            " place first, or resume that training with --c"
        )


def _check_writable(folder: Path) -> None:
    """Makes the folder of a fold, as nnU-Net is about to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NNUNetPromptError(
            f"{folder}: cannot be made: {error.strerror}; set nnUNet_results to a folder that can be written"
        ) from None
    if not os.access(folder, os.W_OK):
        raise NNUNetPromptError(
            f"{folder}: cannot be written; set nnUNet_results to a folder that can"
        )


def _check_references(planned: Planned, cases: tuple[str, ...]) -> None:
    """nnU-Net looks for the label maps of the validation cases when the training is over."""
    ending = str(planned.dataset_json.get("file_ending", ""))
    folder = planned.folder / "gt_segmentations"
    missing = [case for case in cases if not (folder / f"{case}{ending}").is_file()]
    if missing:
        raise NNUNetPromptError(
            f"{folder / missing[0]}{ending}: no such file, and the validation after the training needs it: run"
            f" `nnUNetv2_preprocess -d {planned.dataset_id} -plans_name {planned.plans_name}"
            f" -c {planned.configuration}` again"
        )
