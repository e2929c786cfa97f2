"""The arguments of the verbs of the command line. Names of options follow nnU-Net where it has the option."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.options import (
    at_least,
    dataset_id,
    names,
    seed,
    whole_numbers,
)
from nnunet_prompt.common.plugins import plugins
from nnunet_prompt.dataset_conversion.care.command_line import add_care_arguments

# The downloads of the CARE challenges, each with a converter of its own.
CARE = {
    "myops": "MyoPS: short-axis C0, LGE and T2",
    "whs": "WHS: whole hearts in CT and MR",
    "lascarqs": "LAScarQS: left atria in LGE",
    "liqa": "LiQA: livers in MR",
    "atriumct": "the left atrium in CT (2026): atrium, veins and appendage",
}

# The uploads of CARE-Cardiac that `predict` writes.
UPLOADS = ("leftatrium", "wholeheart", "pathology")


def none(parser: argparse.ArgumentParser) -> None:
    del parser


def convert(parser: argparse.ArgumentParser, *, added: bool = False) -> None:
    """`added`: with the converters of other packages, which takes a moment to look for."""
    layouts = parser.add_subparsers(dest="layout", metavar="LAYOUT", required=True)
    known = {
        "msd": "Medical Segmentation Decathlon",
        "nnunet": "nnU-Net raw data",
        "phantom": "phantom hearts, as `nnunet-prompt phantom heart` writes them",
    }
    for name, summary in known.items():
        layout = _sub_command(layouts, name, summary)
        _source(layout)
        if name == "nnunet":
            layout.add_argument(
                "--patient-regex",
                metavar="R",
                help="regular expression whose group 1, searched in the name of a case, is its patient;"
                " all cases of a patient then fall into one fold",
            )
    for name, summary in CARE.items():
        add_care_arguments(_sub_command(layouts, name, f"CARE download of {summary}"), name)
    unify = _sub_command(
        layouts, "unify", "any CARE downloads of myops, whs, lascarqs and liqa as one data set"
    )
    add_care_arguments(unify, "unify")
    for plugin in plugins("converters") if added else ():
        if plugin.name not in layouts.choices:
            summary = f"from the package {plugin.distribution}".replace("%", "%%")
            _source(_sub_command(layouts, plugin.name, summary))


def _source(layout: argparse.ArgumentParser) -> None:
    layout.add_argument("source", type=Path, metavar="SOURCE", help="folder of the source data")
    dataset_id(layout, "nnU-Net id of the new data set, 1 to 999")
    layout.add_argument(
        "--name",
        help="name of the new data set, without Dataset<ID>_ (default: the source's own)",
    )


def convert_with_added(parser: argparse.ArgumentParser) -> None:
    """As `convert`, with the converters of other packages."""
    convert(parser, added=True)


def phantom(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    heart = _sub_command(kinds, "heart", "short-axis hearts, simple and quick, as in the demo")
    mocks = [
        _sub_command(kinds, name, f"mock download of {summary}") for name, summary in CARE.items()
    ]
    for kind in (heart, *mocks):
        kind.add_argument(
            "-o", dest="target", type=Path, required=True, metavar="FOLDER", help="folder to write"
        )
        count = "number of cases per set (default 24)"
        kind.add_argument("-n", dest="cases", type=at_least(1), default=24, metavar="N", help=count)
        seed(kind)
    part = "training or test cases (default train)"
    heart.add_argument("--part", choices=("train", "test"), default="train", help=part)
    for kind in mocks:
        kind.add_argument(
            "--centres",
            type=names,
            default=(),
            metavar="A,B",
            help="centres of the training, validation and test cases, each where it has them (default: all)",
        )
        kind.add_argument(
            "--defects",
            action="store_true",
            help="inject the known defects of the real download, such as headers that contradict each other",
        )


def plan(parser: argparse.ArgumentParser) -> None:
    dataset_id(parser)
    parser.add_argument(
        "-p",
        dest="source",
        default="nnUNetPlans",
        metavar="PLANS",
        help="plans to start from (default nnUNetPlans)",
    )
    parser.add_argument(
        "-o",
        dest="name",
        metavar="PLANS",
        help="name of the plans to write (default nnUNetPromptCPUPlans, or nnUNetPromptPlansNoResampling)",
    )
    parser.add_argument(
        "--no-resampling",
        action="store_true",
        help="write plans without resampling, not small ones: cases keep their voxels, as nnInteractive needs it",
    )
    parser.add_argument(
        "--features",
        type=whole_numbers,
        metavar="8,16,32,64",
        help="features per stage of the small plans",
    )
    size = "batch size of the small plans (default 2)"
    parser.add_argument("--batch-size", type=at_least(1), metavar="N", help=size)


def _sub_command(
    parsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    return parsers.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )


def _convention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--order",
        choices=("xy", "yx"),
        default="xy",
        help="which axis x runs along: 0 (xy, default) or 1 (yx)",
    )
    parser.add_argument(
        "--base", type=int, choices=(0, 1), default=0, help="number of the first slice (default 0)"
    )
    parser.add_argument(
        "--inclusive", action="store_true", help="boxes include their upper corner (default: not)"
    )


def simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder of label maps")
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="prompts.json",
        help="file to write, in the form of TFM4MedIA",
    )
    parser.add_argument(
        "--max-points",
        type=at_least(1),
        default=5,
        metavar="N",
        help="most points per slice and label (default 5)",
    )
    parser.add_argument(
        "--jitter",
        type=at_least(0),
        default=0,
        metavar="N",
        help="move box corners and points at random by up to N pixels (default 0)",
    )
    seed(parser)
    _convention(parser)


def demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        default=Path("out/demo"),
        help="output folder (default out/demo)",
    )
    seed(parser)
