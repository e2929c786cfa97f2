"""The verbs of the command line: each calls one public function, prints one line, returns the exit code.

Every function imports what it needs itself, so that the command line starts without torch and nnU-Net.
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from typing import Any

from nnunet_prompt.cli.arguments import CARE
from nnunet_prompt.cli.hints import count, next_command
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.plugins import plugin
from nnunet_prompt.training import external_trainers as extension


def convert(args: argparse.Namespace) -> int:
    done = _convert(args)
    if done == 0 and getattr(args, "inspect", None) is None:
        number = ("-d", str(args.dataset_id))
        if args.layout == "unify" and os.environ.get("nnUNet_preprocessed"):  # it is planned
            planned = ("-plans_name", "nnUNetPlans")
            next_command("nnUNetv2_preprocess", *number, *planned, "-c", "3d_fullres")
        else:
            next_command("nnUNetv2_plan_and_preprocess", *number, "-c", "3d_fullres")
    return done


def _convert(args: argparse.Namespace) -> int:
    if args.layout == "unify":
        return _convert_unify(args)
    if args.layout in CARE:
        return _convert_care(args)
    from nnunet_prompt.dataset_conversion import msd, nnunet_raw
    from nnunet_prompt.phantom import heart_conversion as phantom_heart

    known: Any = {"msd": msd, "nnunet": nnunet_raw, "phantom": phantom_heart}
    added = args.layout not in known
    run = plugin("converters", args.layout).call if added else known[args.layout].convert
    more = {"patient_regex": args.patient_regex} if args.layout == "nnunet" else {}
    folder = run(args.source, args.dataset_id, name=args.name, **more)
    print(f"wrote {folder}")
    return 0


def _convert_care(args: argparse.Namespace) -> int:
    from nnunet_prompt.data.raw import keep_out_of
    from nnunet_prompt.dataset_conversion.care.command_line import care_options, run_inspection

    task = import_module(f"nnunet_prompt.dataset_conversion.care.{args.layout}")
    options = care_options(args)
    if args.inspect is not None:
        return int(run_inspection(args, lambda: task.examine(args.source, options)))
    keep_out_of([args.source])
    folder = task.convert(args.source, args.dataset_id, name=args.name, options=options)
    print(f"wrote {folder}")
    return 0


def _convert_unify(args: argparse.Namespace) -> int:
    from nnunet_prompt.data.raw import keep_out_of
    from nnunet_prompt.dataset_conversion.care.command_line import care_options, run_inspection
    from nnunet_prompt.dataset_conversion.care.detect import tasks_of
    from nnunet_prompt.dataset_conversion.care.unify import examine, unify

    options = care_options(args)
    if args.inspect is not None:
        return int(run_inspection(args, lambda: examine(tasks_of(args.sources), options)))
    keep_out_of(args.sources)
    folder = unify(args.sources, args.dataset_id, name=args.name, options=options)
    print(f"wrote {folder}")
    return 0


def phantom(args: argparse.Namespace) -> int:
    if args.kind == "heart":
        from nnunet_prompt.phantom.heart import write_phantoms

        write_phantoms(args.target, args.cases, seed=args.seed, part=args.part)
        print(f"wrote {count(args.cases, 'phantom')} to {args.target}")
        if args.part == "train":
            next_command("nnunet-prompt", "convert", "phantom", args.target, "-d", "ID")
        return 0
    from nnunet_prompt.phantom.mock_challenge import mock_challenge_for, write_mock_challenge

    folder = write_mock_challenge(
        mock_challenge_for(args.kind),
        args.target,
        args.cases,
        centres=args.centres,
        defects=args.defects,
        seed=args.seed,
    )
    print(f"wrote {count(args.cases, 'training case')}, a validation and a test set to {folder}")
    next_command("nnunet-prompt", "convert", args.kind, folder, "-d", "ID")
    return 0


def plan(args: argparse.Namespace) -> int:
    from nnunet_prompt.data.plans import ReduceOptions, no_resampling_plans, reduce_plans

    given = {k: getattr(args, k) for k in ("source", "name", "features", "batch_size")}
    given = {key: value for key, value in given.items() if value is not None}
    number = str(args.dataset_id)
    if not args.no_resampling:
        written = reduce_plans(args.dataset_id, options=ReduceOptions(**given))
        print(f"wrote {written}")
        trainer = ("-tr", "nnUNetTrainerPromptCPU", "-p", written.stem)
        next_command("nnunet-prompt", "train", number, "3d_fullres", "0", *trainer)
    elif given.keys() & {"features", "batch_size"}:
        raise NNUNetPromptError(
            "--no-resampling: --features and --batch-size are those of reduced plans"
        )
    else:
        written = no_resampling_plans(args.dataset_id, **given)
        print(f"wrote {written}")
        options = ("-plans_name", written.stem, "-c", "3d_fullres")
        next_command("nnUNetv2_preprocess", "-d", number, *options)
    return 0


def simulate(args: argparse.Namespace) -> int:
    from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts_json

    options = SimulateOptions(
        max_points=args.max_points,
        jitter=args.jitter,
        seed=args.seed,
        order=args.order,
        base=args.base,
        inclusive=args.inclusive,
    )
    simulate_prompts_json(args.labels, args.output, options=options)
    print(f"wrote {args.output}")
    words = ("-i", "IMAGES", "-p", args.output, "-o", "MASKS", "-m", "MODEL")
    next_command("nnunet-prompt", "predict", *words)
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from nnunet_prompt.cli.evaluate import evaluate_options
    from nnunet_prompt.evaluation.folders import evaluate_folders
    from nnunet_prompt.evaluation.groups import format_groups
    from nnunet_prompt.evaluation.options import FolderOptions
    from nnunet_prompt.evaluation.results import format_notes, format_table

    results = evaluate_folders(
        args.labels,
        args.predictions,
        args.output,
        folder_options=FolderOptions(
            args.values, args.names, args.missing, args.extra, args.processes
        ),
        options=evaluate_options(args),
    )
    print(format_table(results))
    print(format_notes(results))
    if "groups" in results:
        titles = {key: row["name"] for key, row in results["structures"].items()}
        print(f"\n{format_groups(results['groups'], titles)}\n")
    if "calibration" in results:
        from nnunet_prompt.evaluation.reliability import format_calibration

        print(f"\n{format_calibration(results['calibration'])}\n")
    if "readers" in results:
        from nnunet_prompt.evaluation.readers import format_readers

        print(f"\n{format_readers(results['readers'])}\n")
    failed = len(results.get("failed", {}))
    outputs = (args.output, args.csv, args.reliability)
    written = " and ".join(str(path) for path in outputs if path is not None)
    print(f"wrote {written}" + (f"; {count(failed, 'case')} not scored" if failed else ""))
    more = (results.get("calibration", {}), results.get("readers", {}))
    return 1 if failed or any(one.get("failed") for one in more) else 0


def env(args: argparse.Namespace) -> int:
    del args
    print(extension.shell_exports(extension.environment()))
    return 0


def trainers_dir(args: argparse.Namespace) -> int:
    del args
    print(extension.trainers_dir())
    return 0


def demo(args: argparse.Namespace) -> int:
    from nnunet_prompt.cli.demo.demo import run_demo

    run_demo(args.output, seed=args.seed)
    return 0
