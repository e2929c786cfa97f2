"""`nnunet-prompt atlas`: its arguments, and the one function that it calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.hints import count, next_command
from nnunet_prompt.cli.options import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, summary in (
        ("images", "folder of the images of 1 to 10 labelled cases"),
        ("labels", "folder of their label maps"),
    ):
        parser.add_argument(name, type=Path, metavar=f"SUPPORT_{name.upper()}", help=summary)
    parser.add_argument(
        "-i",
        dest="targets",
        type=Path,
        required=True,
        metavar="IMAGES",
        help="folder of images to label, or a single image file",
    )
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, help="output folder for the rough masks"
    )
    seed(parser)
    parser.add_argument(
        "--c", dest="resume", action="store_true", help="resume: existing masks are kept"
    )


def run(args: argparse.Namespace) -> int:
    from nnunet_prompt.learn.atlas_folder import atlas_folder

    made = atlas_folder(
        args.images, args.labels, args.targets, args.output, seed=args.seed, resume=args.resume
    )
    kept = f"; kept {count(made.kept, 'existing mask')}" if made.kept else ""
    print(f"wrote {count(len(made.sources), 'mask')} to {args.output}{kept}")
    words = ("-i", args.targets, "-p", args.output, "-o", "MASKS", "-m", "MODEL")
    next_command("nnunet-prompt", "predict", *words)
    return 0
