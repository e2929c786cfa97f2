"""What each verb of the command line does: call one public function, print one line, return the exit code.

Every function imports what it needs itself, so that the command line starts without torch and nnU-Net.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from nnunet_prompt import extension
from nnunet_prompt.cli_arguments import CARE
from nnunet_prompt.cli_check import run_check
from nnunet_prompt.errors import PromptError

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

_REFUSED = re.compile(r"^nnunet_prompt\.errors\.\w+: (.+)", re.MULTILINE)


def convert(args: argparse.Namespace) -> int:
    if args.layout == "unify":
        return _convert_unify(args)
    if args.layout in CARE:
        return _convert_care(args)
    from nnunet_prompt.dataset_conversion import msd, nnunet_raw, phantom_heart

    if args.layout == "nnunet":
        folder = nnunet_raw.convert(
            args.source, args.dataset_id, name=args.name, patient_regex=args.patient_regex
        )
    else:
        known = {"msd": msd.convert, "phantom": phantom_heart.convert}
        folder = known[args.layout](args.source, args.dataset_id, name=args.name)
    print(f"wrote {folder}")
    return 0


def _convert_care(args: argparse.Namespace) -> int:
    from nnunet_prompt.care.command import care_options, run_inspection
    from nnunet_prompt.data.raw import keep_out_of
    from nnunet_prompt.dataset_conversion import lascarqs, liqa, myops, whs

    known = {
        "lascarqs": (lascarqs.examine, lascarqs.convert),
        "liqa": (liqa.examine, liqa.convert),
        "myops": (myops.examine, myops.convert),
        "whs": (whs.examine, whs.convert),
    }
    examine, convert_download = known[args.layout]
    options = care_options(args)
    if args.inspect is not None:
        return run_inspection(args, lambda: examine(args.source, options))
    keep_out_of([args.source])
    folder = convert_download(args.source, args.dataset_id, name=args.name, options=options)
    print(f"wrote {folder}")
    return 0


def _convert_unify(args: argparse.Namespace) -> int:
    from nnunet_prompt.care.command import care_options, run_inspection
    from nnunet_prompt.care.detect import tasks_of
    from nnunet_prompt.care.unify import examine, unify
    from nnunet_prompt.data.raw import keep_out_of

    options = care_options(args)
    if args.inspect is not None:
        return run_inspection(args, lambda: examine(tasks_of(args.sources), options))
    keep_out_of(args.sources)
    folder = unify(args.sources, args.dataset_id, name=args.name, options=options)
    print(f"wrote {folder}")
    return 0


def phantom(args: argparse.Namespace) -> int:
    if args.kind == "heart":
        from nnunet_prompt.phantom.heart import write_phantoms

        write_phantoms(args.target, args.cases, seed=args.seed, part=args.part)
        print(f"wrote {_count(args.cases, 'phantom')} to {args.target}")
        return 0
    from nnunet_prompt.phantom.rehearsal import rehearsal_for, write_rehearsal

    folder = write_rehearsal(
        rehearsal_for(args.kind),
        args.target,
        args.cases,
        centres=args.centres,
        defects=args.defects,
        seed=args.seed,
    )
    print(f"wrote {_count(args.cases, 'training case')}, a validation and a test set to {folder}")
    return 0


def plan(args: argparse.Namespace) -> int:
    from nnunet_prompt.data.plans import ReduceOptions, no_resampling_plans, reduce_plans

    given = {k: getattr(args, k) for k in ("source", "name", "features", "batch_size")}
    given = {key: value for key, value in given.items() if value is not None}
    if not args.no_resampling:
        print(f"wrote {reduce_plans(args.dataset_id, options=ReduceOptions(**given))}")
    elif given.keys() & {"features", "batch_size"}:
        raise PromptError("--no-resampling: --features and --batch-size are those of reduced plans")
    else:
        print(f"wrote {no_resampling_plans(args.dataset_id, **given)}")
    return 0


def train(args: argparse.Namespace) -> int:
    """nnU-Net's own entry, in this process; the processes it starts for several GPUs inherit the environment."""
    if not {"-h", "--help"} & set(args.rest):
        extension.require_folders("nnUNet_preprocessed", "nnUNet_results")
    extension.register_trainers()
    from nnunetv2.run.run_training import run_training_entry
    from torch.multiprocessing.spawn import ProcessRaisedException

    sys.argv = ["nnunet-prompt train", *args.rest]
    try:
        run_training_entry()
    except (
        ProcessRaisedException
    ) as error:  # with several GPUs, all that is left of an error is its traceback
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        raise PromptError(refused[1]) from error
    return 0


def predict(args: argparse.Namespace) -> int:
    if args.upload is not None or args.team is not None:
        return _predict_upload(args)
    from nnunet_prompt.batch.predict import predict_folder
    from nnunet_prompt.reading.convention import given_convention

    convention = given_convention(args.order, args.base, args.inclusive)
    made = predict_folder(
        args.images,
        args.output,
        model=args.model,
        prompts=args.prompts,
        structures=args.structures,
        options=replace(predict_options(args), convention=convention),
    )
    kept = f"; kept {_count(made.kept, 'mask')} that were there" if made.kept else ""
    print(f"wrote {_count(made.written, 'mask')} to {args.output}{kept}")
    return 0


def _predict_upload(args: argparse.Namespace) -> int:
    from nnunet_prompt.upload.upload import NO_TEAM, predict_upload

    if args.upload is None:
        raise PromptError("--team names the zip of an upload: give --upload, too")
    if args.prompts is not None or args.structures:
        raise PromptError("--upload: neither prompts nor structures, its form says what is written")
    if (args.order, args.base, args.inclusive) != ("auto",) * 3 or args.whole_names:
        raise PromptError(
            "--upload: neither --order, --base, --inclusive nor --whole-names, its form says what is read"
        )
    if args.num_parts > 1 or args.dask is not None:
        raise PromptError("--upload: neither --num-parts nor --dask, its zip is made in one run")
    made = predict_upload(
        args.images,
        args.output,
        form=args.upload,
        model=args.model,
        team=NO_TEAM if args.team is None else args.team,
        options=predict_options(args),
    )
    for note in made.notes:
        print(f"note: {note}")
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
    return 0


def submit(args: argparse.Namespace) -> int:
    if args.check is not None:
        return run_check(args)
    from nnunet_prompt.challenge.submit import SubmitOptions
    from nnunet_prompt.challenge.submit import submit as submit_folder
    from nnunet_prompt.reading.convention import given_convention

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
    note = f"; {_count(degraded, 'case')} degraded, see the warnings" if degraded else ""
    print(f"wrote the masks to {args.output}{note}")
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
    from nnunet_prompt.demo import run_demo

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
