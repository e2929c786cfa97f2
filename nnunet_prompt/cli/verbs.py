"""What each verb of the command line does: call one public function, print one line, return the exit code.

Every function imports what it needs itself, so that the command line starts without torch and nnU-Net.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnunet_prompt.cli.arguments import CARE
from nnunet_prompt.cli.check import run_check
from nnunet_prompt.cli.hints import next_command, note
from nnunet_prompt.errors import NNUNetPromptError
from nnunet_prompt.plugins import plugin
from nnunet_prompt.training import external_trainers as extension

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions


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
    from nnunet_prompt.dataset_conversion.care import lascarqs, liqa, myops, whs
    from nnunet_prompt.dataset_conversion.care.command import care_options, run_inspection

    known = {
        "lascarqs": (lascarqs.examine, lascarqs.convert),
        "liqa": (liqa.examine, liqa.convert),
        "myops": (myops.examine, myops.convert),
        "whs": (whs.examine, whs.convert),
    }
    examine, convert_download = known[args.layout]
    options = care_options(args)
    if args.inspect is not None:
        return int(run_inspection(args, lambda: examine(args.source, options)))
    keep_out_of([args.source])
    folder = convert_download(args.source, args.dataset_id, name=args.name, options=options)
    print(f"wrote {folder}")
    return 0


def _convert_unify(args: argparse.Namespace) -> int:
    from nnunet_prompt.data.raw import keep_out_of
    from nnunet_prompt.dataset_conversion.care.command import care_options, run_inspection
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
        print(f"wrote {_count(args.cases, 'phantom')} to {args.target}")
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
    print(f"wrote {_count(args.cases, 'training case')}, a validation and a test set to {folder}")
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


def predict(args: argparse.Namespace) -> int:
    note(f"loading {args.model}")  # at once: importing torch alone may take many seconds
    if args.upload is not None or args.team is not None:
        return _predict_upload(args)
    from nnunet_prompt.inference.predict_folder import predict_folder
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

    convention = given_convention(args.order, args.base, args.inclusive)
    made = predict_folder(
        args.images,
        args.output,
        model=args.model,
        prompts=args.prompts,
        structures=args.structures,
        refine=args.refine,
        options=replace(predict_options(args), convention=convention),
    )
    kept = f"; kept {_count(made.kept, 'existing mask')}" if made.kept else ""
    print(f"wrote {_count(made.written, 'mask')} to {args.output}{kept}")
    next_command("nnunet-prompt", "evaluate", "LABELS", args.output, "-o", "metrics.json")
    return 0


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
    print(f"wrote {made.zip_file} with {_count(made.written + made.kept, 'mask')}")
    return 0


def simulate(args: argparse.Namespace) -> int:
    from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts

    options = SimulateOptions(
        max_points=args.max_points,
        jitter=args.jitter,
        seed=args.seed,
        order=args.order,
        base=args.base,
        inclusive=args.inclusive,
    )
    simulate_prompts(args.labels, args.output, options=options)
    print(f"wrote {args.output}")
    words = ("-i", "IMAGES", "-p", args.output, "-o", "MASKS", "-m", "MODEL")
    next_command("nnunet-prompt", "predict", *words)
    return 0


def submit(args: argparse.Namespace) -> int:
    if args.check is not None:
        return run_check(args)
    from nnunet_prompt.challenge.submit import SubmitOptions
    from nnunet_prompt.challenge.submit import submit as submit_folder
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

    degraded = submit_folder(
        args.input,
        args.output,
        model=args.model,
        options=predict_options(args),
        how=SubmitOptions(
            convention=given_convention(args.order, args.base, args.inclusive),
            strict=args.strict,
            overwrite=args.overwrite,
            report=args.report,
            budget_minutes=args.budget_minutes,
        ),
    )
    hint = f"; {_count(degraded, 'case')} degraded, see the warnings" if degraded else ""
    print(f"wrote the masks to {args.output}{hint}")
    if not os.environ.get("nnUNet_prompt_input"):  # in a container nobody types
        next_command("nnunet-prompt", "submit", "-i", args.input, "--check", args.output)
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from nnunet_prompt.evaluation.folders import evaluate_folders, format_notes, format_table

    results = evaluate_folders(
        args.labels,
        args.predictions,
        args.output,
        label_values=args.values,
        missing=args.missing,
        extra=args.extra,
        names=args.names,
    )
    print(format_table(results))
    print(format_notes(results))
    failed = len(results.get("failed", {}))
    print(f"wrote {args.output}" + (f"; {_count(failed, 'case')} not scored" if failed else ""))
    return 1 if failed else 0


def env(args: argparse.Namespace) -> int:
    del args
    print(extension.shell_exports(extension.environment()))
    return 0


def trainers_dir(args: argparse.Namespace) -> int:
    del args
    print(extension.trainers_dir())
    return 0


def demo(args: argparse.Namespace) -> int:
    from nnunet_prompt.demo.demo import run_demo

    run_demo(args.output, seed=args.seed)
    return 0


def predict_options(args: argparse.Namespace) -> PredictOptions:
    from nnunet_prompt.inference.options import PredictOptions

    return PredictOptions(
        folds=None if args.folds is None else tuple(args.folds),
        device=args.device,
        use_mirroring=not args.disable_tta,
        step_size=args.step_size,
        checkpoint=args.checkpoint,
        window=args.window,
        grow=args.grow,
        bfloat16=args.bfloat16,
        consistent=args.consistent,
        # the others are options of `predict` alone
        overwrite=not getattr(args, "continue_prediction", False),
        num_parts=getattr(args, "num_parts", 1),
        part_id=getattr(args, "part_id", 0),
        verbose=getattr(args, "verbose", False),
        dask=getattr(args, "dask", None),
        whole_names=getattr(args, "whole_names", False),
        axes=getattr(args, "axes", None),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
