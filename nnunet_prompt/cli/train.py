"""`nnunet-prompt train`: nnUNetv2_train with our trainers in sight, defaults that work here, and errors of one line."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.cli.hints import next_command, note
from nnunet_prompt.cli.options import DEVICES, at_least, fold
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.training import external_trainers as extension

if TYPE_CHECKING:
    from nnunet_prompt.training.request import TrainRequest

_REFUSED = re.compile(r"^nnunet_prompt\.common\.errors\.\w+: (.+)", re.MULTILINE)
_KNOWN = {  # words of an error that nnU-Net lets through: what the user can do
    "out of memory": "the device ran out of memory: smaller patches and batches come from `nnunet-prompt plan`",
    "PytorchStreamWriter": "a checkpoint could not be written, mostly because the disc is full: make room, then resume"
    " with --c",
    "background workers are no longer alive": "a process that loads patches was ended, mostly for want of memory:"
    " start fewer of them with nnUNet_n_proc_DA=2, none with nnUNet_n_proc_DA=0",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Our own options, then those of nnUNetv2_train, which are passed to it."""
    parser.set_defaults(misuse=parser.error)
    parser.add_argument(
        "dataset", metavar="DATASET", help="id or name of the data set, such as 901"
    )
    parser.add_argument(
        "configuration", metavar="CONFIG", help="configuration of the plans, such as 3d_fullres"
    )
    parser.add_argument("fold", type=fold, metavar="FOLD", help="fold to train: a number, or all")
    ours = parser.add_argument_group("options of nnunet-prompt")
    ours.add_argument(
        "--iterations",
        type=at_least(1),
        metavar="N",
        help="total number of iterations, instead of the trainer's; the learning rate schedule is scaled to them",
    )
    ours.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="seed that makes a training in one process reproducible (default: none)",
    )
    stock = parser.add_argument_group("options of nnUNetv2_train")
    stock.add_argument(
        "-tr",
        dest="trainer",
        metavar="TRAINER",
        help="trainer class (default nnUNetTrainerPrompt)",
    )
    stock.add_argument(
        "-p",
        dest="plans",
        metavar="PLANS",
        help="plans (default nnUNetPlans; on a CPU, and with trainers for one, nnUNetPromptCPUPlans if they exist)",
    )
    stock.add_argument(
        "-device", choices=DEVICES, help="device to train on (default: cuda if available, else cpu)"
    )
    gpus = "number of GPUs to train on (default 1)"
    stock.add_argument("-num_gpus", type=at_least(1), default=1, metavar="N", help=gpus)
    stock.add_argument(
        "-pretrained_weights",
        type=Path,
        metavar="FILE",
        help="checkpoint to start from, such as one written by `nnunet-prompt weights adapt`",
    )
    for flag, summary in {
        "--c": "resume a training from its latest checkpoint",
        "--val": "only run the validation of a finished training",
        "--val_best": "run the validation with checkpoint_best.pth instead of checkpoint_final.pth",
        "--npz": "save the probabilities of the validation (nnU-Net's trainers only, ours do not)",
        "--disable_checkpointing": "do not save checkpoints, for tests",
    }.items():
        stock.add_argument(flag, action="store_true", help=summary)


def run(args: argparse.Namespace) -> int:
    """nnU-Net's own entry, in this process; the processes it starts for several GPUs inherit the environment."""
    _check_together(args)
    extension.require_folders("nnUNet_preprocessed", "nnUNet_results")
    extension.register_trainers()
    from nnunet_prompt.training.request import check, completed, warnings_before

    request, choices = completed(_asked(args))
    check(request)
    for line in choices:
        note(line)
    for line in warnings_before(request):
        note(line, important=True)
    for name, value in (("iterations", args.iterations), ("seed", args.seed)):
        if value is not None:
            os.environ[f"nnUNet_prompt_{name}"] = str(value)
    sys.argv = ["nnunet-prompt train", *_handed_on(args, request)]
    try:
        _run_nnunet(request)
    except KeyboardInterrupt:
        _report_how_to_resume(args, request)
        return 130
    if request.validate:
        return 0
    next_command("nnunet-prompt", "predict", "-i", "IMAGES", "-o", "MASKS", "-m", request.model)
    return 0


def _check_together(args: argparse.Namespace) -> None:
    """Refuses combinations that nnU-Net asserts against."""
    for first, second in (
        ("--c", "--val"),
        ("--c", "-pretrained_weights"),
        ("--val_best", "--disable_checkpointing"),
    ):
        if getattr(args, first.lstrip("-")) and getattr(args, second.lstrip("-")):
            args.misuse(f"argument {second}: not allowed with argument {first}")


def _asked(args: argparse.Namespace) -> TrainRequest:
    from nnunet_prompt.training.request import TrainRequest

    return TrainRequest(
        args.dataset,
        args.configuration,
        args.fold,
        trainer=args.trainer or "",
        plans=args.plans or "",
        device=args.device or "",
        gpus=args.num_gpus,
        resume=args.c,
        validate=args.val,
        validate_best=args.val_best,
        start=args.pretrained_weights,
        own_options=args.iterations is not None or args.seed is not None,
    )


def _handed_on(args: argparse.Namespace, request: TrainRequest) -> Iterator[str]:
    """The arguments for nnU-Net's own parser."""
    yield from (request.dataset, request.configuration, str(request.fold))
    yield from ("-tr", request.trainer, "-p", request.plans, "-device", request.device)
    if args.c:
        yield "--c"
    if args.num_gpus > 1:
        yield from ("-num_gpus", str(args.num_gpus))
    if args.pretrained_weights is not None:
        yield from ("-pretrained_weights", str(args.pretrained_weights))
    yield from (
        f"--{f}" for f in ("npz", "val", "val_best", "disable_checkpointing") if vars(args)[f]
    )


def _run_nnunet(request: TrainRequest) -> None:
    """Runs nnU-Net; raises `NNUNetPromptError` for an error that the user can do something about."""
    from nnunetv2.run.run_training import run_training_entry
    from torch.multiprocessing.spawn import ProcessRaisedException

    from nnunet_prompt.cli.progress import training_progress
    from nnunet_prompt.training.progress import every_trainer_watched

    try:
        with training_progress(), every_trainer_watched():
            run_training_entry()
    except ProcessRaisedException as error:  # all that is left of an error is its traceback
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        raise NNUNetPromptError(refused[1]) from error
    except (RuntimeError, AssertionError, MemoryError) as error:
        text = " ".join(str(error).split()).split("; your network:")[0]  # a whole tensor follows
        advice = next((known for words, known in _KNOWN.items() if words in text), None)
        if advice is not None or isinstance(error, MemoryError):
            raise NNUNetPromptError(
                f"{advice or _KNOWN['out of memory']} ({text[:200]})"
            ) from error
        last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if last.parts[-3:-1] == ("nnunetv2", "run"):  # it refuses its arguments
            raise NNUNetPromptError(f"nnU-Net refuses {request.dataset}: {text[:200]}") from error
        raise


def _report_how_to_resume(args: argparse.Namespace, request: TrainRequest) -> None:
    from nnunet_prompt.training.resume import BEST, to_resume_from

    print(file=sys.stderr)
    words = [w for w in _handed_on(args, request) if w != "--c"]
    for name in ("iterations", "seed"):
        words += [f"--{name}", str(vars(args)[name])] if vars(args)[name] is not None else []
    if "-pretrained_weights" in words:  # they are in the checkpoint
        at = words.index("-pretrained_weights")
        del words[at : at + 2]
    found = to_resume_from(request.fold_folder)
    again = shlex.join(["nnunet-prompt", "train", *words])
    if found is None or args.disable_checkpointing:
        note(f"stopped before the first checkpoint; start again with `{again}`", important=True)
        return
    note(f"stopped; resume from {found.name} with `{again} --c`", important=True)
    if (request.fold_folder / BEST).is_file():
        model = shlex.quote(str(request.model))
        note(
            f"or try it as it is: `nnunet-prompt predict -i IMAGES -o MASKS -m {model} -chk {BEST}`"
        )
