"""`nnunet-prompt predict`: its arguments, and the one function that it calls."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.cli.arguments import UPLOADS
from nnunet_prompt.cli.hints import count, next_command, note
from nnunet_prompt.cli.options import at_least, given_convention, model, names, predict_options
from nnunet_prompt.common.errors import NNUNetPromptError

if TYPE_CHECKING:
    from nnunet_prompt.inference.run_options import RunOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i",
        dest="images",
        type=Path,
        required=True,
        help="folder of images, a single image file, or a folder with one DICOM series",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        help="output folder for the masks, not the folder of the images",
    )
    parser.add_argument(
        "-p",
        dest="prompts",
        type=Path,
        metavar="PROMPTS",
        help="prompts: a file in our form, or of TFM4MedIA (prompts.json), 3D Slicer, napari or ITK-SNAP, or a folder"
        " of such files (docs/prompts.md); without prompts, all structures are segmented",
    )
    parser.add_argument(
        "--refine",
        type=Path,
        metavar="MASKS",
        help="with -p: correct the automatic masks in this folder (predicted without -p) instead of starting from none",
    )
    given_convention(parser)
    parser.add_argument(
        "--axes",
        choices=("zyx", "xyz"),
        help="order of axis-0, axis-1, axis-2 in napari files (default zyx, which is reported)",
    )
    parser.add_argument(
        "--structures",
        type=names,
        default=(),
        metavar="LV,scar",
        help="segment only these structures, by name, official value or words such as 'left ventricular cavity'",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="probabilities, too: OUTPUT/probabilities/CASE__VALUE.nii.gz for each structure or prompted label, 255 is"
        " certain (for `evaluate --probabilities`)",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="with task vectors (`learn --kind vector`): OUTPUT/uncertainty/CASE.nii.gz, the share of the answers that"
        " differ where one case of the support set is left out, 255 is all",
    )
    parser.add_argument(
        "--monitor",
        type=Path,
        metavar="FILE.csv",
        help="table that gets a row per case and structure: volume, entropy, intensities, ... (for `drift`)",
    )
    parser.add_argument(
        "--upload",
        choices=UPLOADS,
        help="write an upload for CARE-Cardiac: -i is a validation or test download, -o gets the masks and their zip",
    )
    parser.add_argument(
        "--team", metavar="NAME", help="team name in the name of the zip (with --upload)"
    )
    model(parser)
    _many_cases(parser)


def _many_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--continue_prediction",
        "--c",
        action="store_true",
        help="resume a run that was stopped: existing masks are kept",
    )
    parser.add_argument(
        "--whole-names",
        action="store_true",
        help="each file is a case: _0000 at the end of a name is not a channel (for models of one channel)",
    )
    parser.add_argument(
        "--num-parts",
        "-num_parts",
        type=at_least(1),
        default=1,
        metavar="N",
        help="split the cases over N runs, on as many machines or GPUs (default 1)",
    )
    parser.add_argument(
        "--part-id",
        "-part_id",
        type=at_least(0),
        default=0,
        metavar="I",
        help="which of these runs this is, from 0 to N - 1 (default 0)",
    )
    parser.add_argument(
        "--dask",
        metavar="SCHEDULER",
        help="distribute the cases over the workers of this Dask scheduler (tcp://host:8786, or its file);"
        " existing masks are kept; all workers must see the folders under the same paths",
    )


def run(args: argparse.Namespace) -> int:
    note(f"loading {args.model}")  # at once: importing torch alone may take many seconds
    if args.upload is not None or args.team is not None:
        return _predict_upload(args)
    from nnunet_prompt.inference.predict_folder import predict_folder

    made = predict_folder(
        args.images,
        args.output,
        model=args.model,
        prompts=args.prompts,
        structures=args.structures,
        refine=args.refine,
        options=predict_options(args),
        run_options=_run_options(args),
    )
    kept = f"; kept {count(made.kept, 'existing mask')}" if made.kept else ""
    print(f"wrote {count(made.written, 'mask')} to {args.output}{kept}")
    next_command("nnunet-prompt", "evaluate", "LABELS", args.output, "-o", "metrics.json")
    return 0


def _run_options(args: argparse.Namespace) -> RunOptions:
    from nnunet_prompt.inference.run_options import RunOptions
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

    return RunOptions(
        overwrite=not args.continue_prediction,
        num_parts=args.num_parts,
        part_id=args.part_id,
        verbose=args.verbose,
        dask=args.dask,
        probabilities=args.probabilities,
        uncertainty=args.uncertainty,
        monitor=args.monitor,
        whole_names=args.whole_names,
        axes=args.axes,
        convention=given_convention(args.order, args.base, args.inclusive),
    )


def _predict_upload(args: argparse.Namespace) -> int:
    from nnunet_prompt.challenge.upload import NO_TEAM, predict_upload

    if args.upload is None:
        raise NNUNetPromptError("--team names the zip of an upload: give --upload, too")
    if args.prompts is not None or args.structures or args.refine is not None:
        raise NNUNetPromptError(
            "--upload: neither prompts nor --refine nor --structures, its form states what is written"
        )
    given = (args.order, args.base, args.inclusive)
    if given != ("auto",) * 3 or args.axes is not None or args.whole_names:
        raise NNUNetPromptError(
            "--upload: neither --order, --base, --inclusive, --axes nor --whole-names, its form states what is read"
        )
    if args.num_parts > 1 or args.dask is not None:
        raise NNUNetPromptError(
            "--upload: neither --num-parts nor --dask, its zip is made in one run"
        )
    if args.monitor is not None:
        raise NNUNetPromptError("--upload: no --monitor, predict without --upload for it")
    if args.probabilities:
        raise NNUNetPromptError("--upload: no --probabilities, its form states what is written")
    if args.uncertainty:
        raise NNUNetPromptError("--upload: no --uncertainty, its form states what is written")
    made = predict_upload(
        args.images,
        args.output,
        form=args.upload,
        model=args.model,
        team=NO_TEAM if args.team is None else args.team,
        options=predict_options(args),
    )
    for line in made.notes:
        print(f"note: {line}")
    print(f"wrote {made.zip_file} with {count(made.written + made.kept, 'mask')}")
    return 0
