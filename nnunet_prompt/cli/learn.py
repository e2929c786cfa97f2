"""`nnunet-prompt learn`: its arguments, and the one function that it calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.hints import count, next_command, note
from nnunet_prompt.cli.options import (
    DEVICES,
    MODEL_HELP,
    above_0,
    at_least,
    checkpoint,
    fold,
    label_names,
    seed,
)

KINDS = ("affine", "lora", "decoder", "vector")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", type=Path, metavar="SUPPORT_IMAGES", help="folder of the images of 1 to 10 cases"
    )
    parser.add_argument(
        "labels",
        type=Path,
        metavar="SUPPORT_LABELS",
        help="folder of their label maps; each value in them is a structure to learn",
    )
    parser.add_argument(
        "-m",
        dest="model",
        type=Path,
        required=True,
        help=MODEL_HELP,
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="NAME",
        help="adapter to write, NAME.pth, for `predict -m MODEL --with NAME`",
    )
    label_names(parser)
    parser.add_argument(
        "--minutes",
        type=above_0(100_000),
        default=10.0,
        metavar="M",
        help="time limit (default 10)",
    )
    parser.add_argument(
        "--iterations",
        type=at_least(1),
        metavar="N",
        help="iterations of the last training (default: as many as fit into the time)",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="kind of adapter (default: one of the first three, chosen by leaving cases of the support out); vector is"
        " experimental: task vectors, without training, for models of nnUNetTrainerPromptSupport",
    )
    seed(parser)
    parser.add_argument(
        "--c", dest="resume", action="store_true", help="resume: train the existing NAME longer"
    )
    parser.add_argument(
        "-f", dest="fold", type=fold, metavar="FOLD", help="fold to start from (default: the first)"
    )
    parser.add_argument(
        "-device", choices=DEVICES, help="device to run on (default: cuda if available, else cpu)"
    )
    checkpoint(parser)


def run(args: argparse.Namespace) -> int:
    note(f"loading {args.model}")
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.learn.options import LearnOptions
    from nnunet_prompt.learn.run import learn

    learned = learn(
        args.images,
        args.labels,
        model=args.model,
        output=args.output,
        options=LearnOptions(
            minutes=args.minutes,
            iterations=args.iterations,
            kind=args.kind,
            seed=args.seed,
            names=args.names,
            resume=args.resume,
        ),
        running=PredictOptions(
            folds=None if args.fold is None else (args.fold,),
            device=args.device,
            checkpoint=args.checkpoint,
        ),
    )
    size = f"{learned.file.stat().st_size / 1000:.0f} kB"
    steps = f"{learned.done} of {count(learned.iterations, 'iteration')}"
    said = ", ".join([learned.kind, size, *([steps] if learned.iterations else [])])
    print(f"wrote {learned.file} ({said})")
    for kind, values in learned.dice.items():
        mean = sum(values) / len(values)
        print(f"left-out Dice, {kind}: {mean:.3f} ({count(len(values), 'case')})")
    if learned.interrupted:
        note("stopped; the same command with --c resumes from this adapter")
        return 130
    words = ("-i", "IMAGES", "-o", "MASKS", "-m", args.model, "--with", learned.file)
    next_command("nnunet-prompt", "predict", *words)
    return 0
