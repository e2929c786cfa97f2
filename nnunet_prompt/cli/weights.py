"""`nnunet-prompt weights ACTION ...`: what each action takes, and what it does.

A new action is one entry in `ACTIONS`. As everywhere on the command line, heavy imports happen inside the functions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.cli.arguments import at_least, fold
from nnunet_prompt.cli.hints import next_command


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its arguments, and the function that takes them and returns the exit code."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        action.add_arguments(actions.add_parser(name, help=action.summary, allow_abbrev=False))


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    parser.add_argument("--no-tensors", action="store_true", help="without the table of tensors")


def _inspect(args: argparse.Namespace) -> int:
    from rich.console import Console

    from nnunet_prompt.weights.inspect import print_checkpoint

    print_checkpoint(args.source, Console(), tensors=not args.no_tensors)
    return 0


def _adapt_arguments(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    _dataset(parser)
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", metavar="PLANS")
    parser.add_argument("-c", dest="configuration", default="3d_fullres", metavar="CONFIG")
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="start.pth")
    parser.add_argument(
        "--licence", metavar="TEXT", help="of the source, where its files do not tell it"
    )
    parser.add_argument("--report", type=Path, metavar="JSON", help="every tensor, as JSON")
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
    _dataset(parser)
    parser.add_argument(
        "-p", dest="base", default="nnUNetPlans", metavar="PLANS", help="nnU-Net's, for the rest"
    )
    parser.add_argument("-c", dest="configuration", default="3d_fullres", metavar="CONFIG")
    parser.add_argument("-o", dest="name", metavar="NAME", help="default: nnUNetPlans_<family>")
    parser.add_argument("--batch-size", type=at_least(1), default=2, metavar="N")
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
    parser.add_argument("name", metavar="NAME", help="as `weights list` shows it")
    parser.add_argument(
        "-o", dest="output", type=Path, default=Path("weights"), help="folder, default ./weights"
    )


def _fetch(args: argparse.Namespace) -> int:
    from nnunet_prompt.weights.fetch import fetch
    from nnunet_prompt.weights.source_table import known_source

    source = known_source(args.name)
    folder = fetch(source, args.output)
    print(f"wrote {folder}; licence: {source.licence}")
    next_command("nnunet-prompt", "weights", "inspect", folder)
    return 0


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE", help="what the tuning started from")
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="adapter.pth of a tuning")
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="OUT")


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
    parser.add_argument("model", type=Path, metavar="MODEL", help="<trainer>__<plans>__<config>")
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="DIR", help="new")
    parser.add_argument(
        "--format",
        dest="form",
        choices=("nninteractive", "nnunet"),
        required=True,
        help="nninteractive: prompts, for its viewers; nnunet: structures, for nnUNetv2_predict",
    )
    parser.add_argument(
        "-f", dest="folds", type=fold, nargs="+", metavar="FOLD", help="default: all there are"
    )
    parser.add_argument("-chk", dest="checkpoint", default="checkpoint_final.pth", metavar="FILE")
    parser.add_argument(
        "--licence", default="", metavar="TEXT", help="of your own, beside that of the source"
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
    parser.add_argument("--stem", metavar="ID", help="of a MultiTalent model with several stems")


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="checkpoint or model folder")


def _dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", dest="dataset_id", type=at_least(1), required=True, metavar="ID")


ACTIONS = {
    "inspect": Action("show what a checkpoint holds", _inspect_arguments, _inspect),
    "adapt": Action("make a start checkpoint from another model", _adapt_arguments, _adapt),
    "plan": Action("write plans in which another model's weights fit", _plan_arguments, _plan),
    "list": Action("show where the field's weights are published", _list_arguments, _list),
    "fetch": Action("download one of them", _fetch_arguments, _fetch),
    "export": Action(
        "give a model to nnInteractive's viewers or to stock nnU-Net", _export_arguments, _export
    ),
    "merge": Action("put what was tuned back into its base", _merge_arguments, _merge),
}
