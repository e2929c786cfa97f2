"""`nnunet-prompt weights publish MODEL REPO`: its arguments, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.options import checkpoint, fold, trained_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    trained_model(parser)
    parser.add_argument("repo", metavar="REPO", help="repository of the hub, owner/name")
    output = "new folder to write, which is uploaded (default ./NAME)"
    parser.add_argument("-o", dest="output", type=Path, metavar="DIR", help=output)
    folds = "folds to publish (default: all that were trained)"
    parser.add_argument("-f", dest="folds", type=fold, nargs="+", metavar="FOLD", help=folds)
    checkpoint(parser)
    licence = "your own licence of the weights, such as 'CC BY 4.0', added to that of their source"
    parser.add_argument("--licence", default="", metavar="TEXT", help=licence)
    parser.add_argument("--private", action="store_true", help="repository that only you see")
    dry = "only write the folder, upload nothing"
    parser.add_argument("--dry-run", action="store_true", help=dry)


def run(args: argparse.Namespace) -> int:
    from nnunet_prompt.weights.export import ExportOptions
    from nnunet_prompt.weights.publish import make_publication, upload_folder

    folds = None if args.folds is None else tuple(args.folds)
    options = ExportOptions(folds, args.checkpoint, args.licence)
    target = args.output or Path(args.repo.rpartition("/")[2])
    made = make_publication(args.model, args.repo, target, options=options)
    for line in made.notes:
        print(f"note: {line}")
    print(f"wrote {made.folder}; licence: {made.licence}")
    if not args.dry_run:
        print(f"uploaded {upload_folder(made.folder, args.repo, private=args.private)}")
    return 0
