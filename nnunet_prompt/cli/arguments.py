"""What each verb of the command line takes. Names of options follow nnU-Net where it has the option."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnunet_prompt.cli.check import add_check
from nnunet_prompt.dataset_conversion.care.arguments import add_care_arguments

# The downloads of the CARE challenges, each with a converter of its own.
CARE = {
    "myops": "MyoPS: short-axis C0, LGE and T2",
    "whs": "WHS: whole hearts in CT and MR",
    "lascarqs": "LAScarQS: left atria in LGE",
    "liqa": "LiQA: livers in MR",
}

# The uploads of CARE-Cardiac that `predict` writes.
UPLOADS = ("leftatrium", "wholeheart", "pathology")


def none(parser: argparse.ArgumentParser) -> None:
    del parser


def convert(parser: argparse.ArgumentParser) -> None:
    layouts = parser.add_subparsers(dest="layout", metavar="LAYOUT", required=True)
    known = {
        "msd": "Medical Segmentation Decathlon",
        "nnunet": "nnU-Net raw data",
        "phantom": "what `nnunet-prompt phantom heart` makes",
    }
    for name, summary in known.items():
        layout = layouts.add_parser(name, help=summary, allow_abbrev=False)
        layout.add_argument("source", type=Path, metavar="SOURCE", help="folder of the download")
        layout.add_argument("-d", dest="dataset_id", type=at_least(1), required=True, metavar="ID")
        layout.add_argument("--name", help="of the new data set (default: the source's own)")
        if name == "nnunet":
            layout.add_argument(
                "--patient-regex",
                metavar="R",
                help="group 1 of R, in the name of a case, is its patient;"
                " no patient is then split over two folds",
            )
    for name, summary in CARE.items():
        add_care_arguments(layouts.add_parser(name, help=summary, allow_abbrev=False), name)
    unify = layouts.add_parser(
        "unify", help="any of these four as one data set", allow_abbrev=False
    )
    add_care_arguments(unify, "unify")


def phantom(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    heart = kinds.add_parser(
        "heart", help="short-axis hearts, simple and quick, as in the demo", allow_abbrev=False
    )
    rehearsals = [
        kinds.add_parser(name, help=f"rehearsal download of {summary}", allow_abbrev=False)
        for name, summary in CARE.items()
    ]
    for kind in (heart, *rehearsals):
        kind.add_argument("-o", dest="target", type=Path, required=True, metavar="FOLDER")
        kind.add_argument(
            "-n", dest="cases", type=at_least(1), default=24, metavar="N", help="default 24"
        )
        kind.add_argument("--seed", type=at_least(0), default=0)
    heart.add_argument("--part", choices=("train", "test"), default="train", help="default train")
    for kind in rehearsals:
        kind.add_argument(
            "--centres",
            type=names,
            default=(),
            metavar="A,B",
            help="of training, validation and test cases, each where it has them (default: all)",
        )
        kind.add_argument(
            "--defects", action="store_true", help="with the known defects of the real download"
        )


def plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", dest="dataset_id", type=at_least(1), required=True, metavar="ID")
    parser.add_argument(
        "-p", dest="source", default="nnUNetPlans", metavar="PLANS", help="plans to reduce"
    )
    parser.add_argument(
        "-o",
        dest="name",
        metavar="PLANS",
        help="plans to write (default nnUNetPromptCPUPlans, or nnUNetPromptPlansNoResampling)",
    )
    parser.add_argument(
        "--no-resampling",
        action="store_true",
        help="do not reduce them: every case keeps its voxels, as a model for nnInteractive needs it",
    )
    parser.add_argument(
        "--features", type=whole_numbers, metavar="8,16,32,64", help="per stage, if reduced"
    )
    parser.add_argument("--batch-size", type=at_least(1), metavar="N", help="default 2, if reduced")


def model(parser: argparse.ArgumentParser, *, variable: str | None = None) -> None:
    """The options of every verb that runs a model."""
    parser.add_argument(
        "-m",
        dest="model",
        type=Path,
        **_required_unless(variable),
        help="trained model: <trainer>__<plans>__<config>",
    )
    parser.add_argument(
        "-f",
        dest="folds",
        type=fold,
        nargs="+",
        metavar="FOLD",
        help="default: all numbered ones that were trained",
    )
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), help="default: cuda if there is one, else cpu"
    )
    parser.add_argument(
        "--disable_tta", action="store_true", help="no mirroring: faster, a little less accurate"
    )
    parser.add_argument(
        "-step_size", type=_above_0(1), default=0.5, metavar="S", help="of the window, default 0.5"
    )
    parser.add_argument("-chk", dest="checkpoint", default="checkpoint_final.pth", metavar="FILE")
    parser.add_argument(
        "--window",
        choices=("prompted", "full"),
        default="prompted",
        help="of prompts: run the tiles round them (default), or nnU-Net's sliding window where it sees them",
    )
    stay = "do not go on where a mask reaches the border of these tiles"
    parser.add_argument("--no-grow", dest="grow", action="store_false", help=stay)
    raw = "masks as the network draws them, also where a positive point ends outside or a label is empty"
    parser.add_argument(
        "--no-prompt-consistency", dest="consistent", action="store_false", help=raw
    )
    half = "on a CPU that has bfloat16: about twice as fast, masks differ in a voxel here and there"
    parser.add_argument("--bfloat16", action="store_true", help=half)


def given_convention(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that reads a prompts.json."""
    order = "xy: axis 0 first; yx: axis 1; auto (default): as prompts and images tell"
    parser.add_argument("--order", choices=("auto", "xy", "yx"), default="auto", help=order)
    base = "the first index, default auto"
    parser.add_argument("--base", choices=("auto", "0", "1"), default="auto", help=base)
    inclusive = parser.add_argument("--inclusive", nargs="?", const="yes", default="auto")
    inclusive.choices = ("auto", "yes", "no")
    inclusive.help = "whether the upper corner of a box belongs to it, default auto"


def _convention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--order", choices=("xy", "yx"), default="xy", help="xy: axis 0 first (default); yx: axis 1"
    )
    parser.add_argument(
        "--base", type=int, choices=(0, 1), default=0, help="the first index, default 0"
    )
    parser.add_argument(
        "--inclusive", action="store_true", help="the upper corner of a box belongs to it"
    )


def simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder of label maps")
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="prompts.json")
    parser.add_argument(
        "--max-points",
        type=at_least(1),
        default=5,
        metavar="N",
        help="per slice and label, default 5",
    )
    parser.add_argument(
        "--jitter", type=at_least(0), default=0, metavar="N", help="of box edges, in voxels"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)
    _convention(parser)


def submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i",
        dest="input",
        type=Path,
        **_required_unless("nnUNet_prompt_input"),
        help="folder with images/ and prompts.json",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        **_required_unless("nnUNet_prompt_output"),
        help="folder for <Case ID>_pred.nii.gz",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 if a case could not be done as it should"
    )
    again = "do cases again that have a finished mask"
    parser.add_argument("--overwrite", action="store_true", help=again)
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="what became of each case; not in the output"
    )
    by_then = "then every case has a mask, if need be from its prompts alone"
    parser.add_argument("--budget-minutes", type=_above_0(100_000), metavar="M", help=by_then)
    given_convention(parser)
    add_check(parser)
    model(parser, variable="nnUNet_prompt_model")


def demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", dest="output", type=Path, default=Path("out/demo"), help="default out/demo"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)


def _required_unless(variable: str | None) -> dict[str, Any]:
    """An option that must be given, unless a container's environment says what it is."""
    value = os.environ.get(variable) if variable else None
    return {"default": Path(value)} if value else {"required": True}


# What an argument may be ----------------------------------------------------------------------------------------


def fold(text: str) -> int | str:
    if text == "all":
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"a fold is a number or 'all', found {text!r}")


def names(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, found {text!r}")
    return found


def at_least(lowest: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {lowest}, found {text!r}"
            )
        return value

    return whole_number


def whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(at_least(1)(part) for part in text.split(","))


def _above_0(most: int) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number above 0 and up to {most}, found {text!r}"
            )
        return value

    return number
