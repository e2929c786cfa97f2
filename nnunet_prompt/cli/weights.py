"""`nnunet-prompt weights ACTION ...`: what each action takes, and what it does.

A new action is one entry in `ACTIONS`. As everywhere on the command line, heavy imports happen inside the functions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.cli import publish
from nnunet_prompt.cli.hints import next_command
from nnunet_prompt.cli.options import at_least, checkpoint, dataset_id, fold, trained_model


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its arguments, and the function that takes them and returns the exit code."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        sub = actions.add_parser(
            name,
            help=action.summary,
            description=action.summary[0].upper() + action.summary[1:] + ".",
            allow_abbrev=False,
        )
        action.add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    parser.add_argument("--no-tensors", action="store_true", help="do not list the tensors")


def _inspect(args: argparse.Namespace) -> int:
    from rich.console import Console

    from nnunet_prompt.weights.inspect import print_checkpoint

    print_checkpoint(args.source, Console(), tensors=not args.no_tensors)
    return 0


def _adapt_arguments(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    dataset_id(parser, "nnU-Net id of the data set to train on, such as 901")
    plans = "plans to train with (default nnUNetPlans)"
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", metavar="PLANS", help=plans)
    _configuration(parser)
    written = "checkpoint to write, for -pretrained_weights"
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="start.pth", help=written
    )
    licence = "licence of the source, if its files do not state it"
    parser.add_argument("--licence", metavar="TEXT", help=licence)
    report = "write what was done with each tensor to this file"
    parser.add_argument("--report", type=Path, metavar="JSON", help=report)
    _stem(parser)


def _adapt(args: argparse.Namespace) -> int:
    from rich.console import Console

    from nnunet_prompt.io.guard import check_output_file, model_folders_of
    from nnunet_prompt.networks.provenance import licence_notes
    from nnunet_prompt.weights.adapt import AdaptOptions, adapt_checkpoint

    if args.report is not None:
        inputs = [args.source, args.output, *model_folders_of(args.source)]
        check_output_file(args.report, inputs, option="--report")
    options = AdaptOptions(args.plans, args.configuration, args.stem, args.licence)
    report = adapt_checkpoint(args.source, args.dataset_id, args.output, options=options)
    Console().print(report.table())
    for line in (*report.warnings, *licence_notes(report.source.origins)):
        print(f"note: {line}")
    if args.report is not None:
        report.write(args.report)
    print(f"wrote {args.output}: train with -pretrained_weights {args.output}")
    what = (str(args.dataset_id), args.configuration, "0", "-p", args.plans)
    next_command("nnunet-prompt", "train", *what, "-pretrained_weights", args.output)
    return 0


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    dataset_id(parser)
    base = "nnU-Net's plans of the data set, for all that the source does not fix (default nnUNetPlans)"
    parser.add_argument("-p", dest="base", default="nnUNetPlans", metavar="PLANS", help=base)
    _configuration(parser)
    name = "name of the plans to write (default nnUNetPlans_<family>)"
    parser.add_argument("-o", dest="name", metavar="NAME", help=name)
    size = "batch size of the plans to write (default 2)"
    parser.add_argument("--batch-size", type=at_least(1), default=2, metavar="N", help=size)
    _stem(parser)


def _plan(args: argparse.Namespace) -> int:
    from nnunet_prompt.weights.source_plan import SourcePlanOptions, write_source_plans

    options = SourcePlanOptions(
        args.base, args.name, args.configuration, args.batch_size, args.stem
    )
    written = write_source_plans(args.source, args.dataset_id, options=options)
    print(
        f"wrote {written}: next, nnUNetv2_preprocess -d {args.dataset_id} -plans_name"
        f" {written.stem} -c {args.configuration}"
    )
    return 0


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def _list(args: argparse.Namespace) -> int:
    del args
    from rich.console import Console

    from nnunet_prompt.weights.source_table import sources_table

    Console().print(sources_table())
    return 0


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        help="name of the source, as listed by `nnunet-prompt weights list`, or hf://owner/name@revision",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        default=Path("weights"),
        help="folder to download to (default ./weights)",
    )


def _fetch(args: argparse.Namespace) -> int:
    from nnunet_prompt.weights.families import stated_licence
    from nnunet_prompt.weights.fetch import fetch
    from nnunet_prompt.weights.hub import SCHEME, fetch_hub, hub_address
    from nnunet_prompt.weights.source_table import known_source

    if args.name.startswith(SCHEME):
        folder = fetch_hub(hub_address(args.name), args.output)
        licence = stated_licence(folder)
    else:
        source = known_source(args.name)
        folder, licence = fetch(source, args.output), source.licence
    print(f"wrote {folder}; licence: {licence}")
    next_command("nnunet-prompt", "weights", "inspect", folder)
    return 0


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "base", type=Path, metavar="BASE", help="checkpoint that the tuning started from"
    )
    parser.add_argument(
        "adapter", type=Path, metavar="ADAPTER", help="adapter.pth written by the tuning"
    )
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="OUT", help="checkpoint to write"
    )


def _merge(args: argparse.Namespace) -> int:
    from nnunet_prompt.networks.provenance import licence_notes
    from nnunet_prompt.weights.merge import merge_adapter

    merged = merge_adapter(args.base, args.adapter, args.output)
    for line in licence_notes(merged.origins):
        print(f"note: {line}")
    if not merged.plain:
        print(
            "note: a spatial adapter cannot be folded into other weights; it stays beside them, and only"
            " nnunet_prompt loads the checkpoint"
        )
    print(f"wrote {args.output}")
    return 0


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    trained_model(parser)
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="DIR", help="new folder to write"
    )
    parser.add_argument(
        "--format",
        dest="form",
        choices=("nninteractive", "nnunet", "safetensors", "onnx"),
        required=True,
        help="nninteractive: prompted segmentation in the viewers of nnInteractive; nnunet: all structures, for"
        " nnUNetv2_predict without our package; safetensors: the whole model without a pickle; onnx: one network, from"
        " image and prompt channels to logits, with manifest.json (needs nnunet-prompt[onnx])",
    )
    parser.add_argument(
        "-f",
        dest="folds",
        type=fold,
        nargs="+",
        metavar="FOLD",
        help="folds to export (default: all that were trained)",
    )
    checkpoint(parser)
    parser.add_argument(
        "--licence",
        default="",
        metavar="TEXT",
        help="your own licence of the weights, added to that of their source",
    )


def _export(args: argparse.Namespace) -> int:
    from nnunet_prompt.weights.export import ExportOptions, export_model

    options = ExportOptions(
        None if args.folds is None else tuple(args.folds), args.checkpoint, args.licence
    )
    written = export_model(args.model, args.output, args.form, options=options)
    for line in written.notes:
        print(f"note: {line}")
    print(f"wrote {written.folder}; licence: {written.licence}")
    return 0


def _stem(parser: argparse.ArgumentParser) -> None:
    stem = "which first convolution (stem) to take of a MultiTalent model that has one per data set"
    parser.add_argument("--stem", metavar="ID", help=stem)


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="checkpoint or model folder of the other model, or hf://owner/name@revision of one of ours",
    )


def _configuration(parser: argparse.ArgumentParser) -> None:
    summary = "configuration of the plans (default 3d_fullres)"
    parser.add_argument(
        "-c", dest="configuration", default="3d_fullres", metavar="CONFIG", help=summary
    )


ACTIONS = {
    "inspect": Action("show what a checkpoint holds", _inspect_arguments, _inspect),
    "adapt": Action(
        "convert another model's checkpoint into one to start training from",
        _adapt_arguments,
        _adapt,
    ),
    "plan": Action("write plans in which another model's weights fit", _plan_arguments, _plan),
    "list": Action(
        "list published weights, their licences and how to get them", _list_arguments, _list
    ),
    "fetch": Action("download weights that `weights list` shows", _fetch_arguments, _fetch),
    "export": Action(
        "export a model for the viewers of nnInteractive, for stock nnU-Net, as safetensors or as ONNX",
        _export_arguments,
        _export,
    ),
    "publish": Action(
        "publish a model with its card, as safetensors and for nnInteractive's viewers",
        publish.add_arguments,
        publish.run,
    ),
    "merge": Action(
        "merge an adapter.pth into the checkpoint that its tuning started from",
        _merge_arguments,
        _merge,
    ),
}
