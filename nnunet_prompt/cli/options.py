"""Options that several verbs share, and the types of their values."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.cli.hints import note

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

DEVICES = ("cuda", "cpu", "mps")
MODEL_HELP = (
    "folder of a trained model, <trainer>__<plans>__<configuration>, or hf://owner/name@revision"
)
HUB = "hf:"  # as in weights.hub, which imports more than help needs; a test compares them


def dataset_id(
    parser: argparse.ArgumentParser, summary: str = "nnU-Net id of the data set, such as 901"
) -> None:
    parser.add_argument(
        "-d", dest="dataset_id", type=at_least(1), required=True, metavar="ID", help=summary
    )


def seed(parser: argparse.ArgumentParser) -> None:
    summary = "seed of the random generator (default 0)"
    parser.add_argument("--seed", type=at_least(0), default=0, help=summary)


def reference_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="folder of reference label maps"
    )


def label_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--names",
        metavar="500=LV,200=scar",
        help="names of label values, or a dataset.json (default: that of the label maps' data set)",
    )


def label_values(parser: argparse.ArgumentParser, purpose: str = "score") -> None:
    parser.add_argument(
        "--values",
        type=whole_numbers,
        metavar="500,200",
        help=f"label values to {purpose} (default: all that occur)",
    )


def unpaired_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--missing",
        choices=("error", "empty", "skip"),
        default="error",
        help="cases without a prediction: an error (default), scored as an empty mask, or skipped",
    )
    parser.add_argument(
        "--extra",
        choices=("error", "skip"),
        default="error",
        help="predictions without a label map: an error (default), or skipped",
    )


def trained_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help=MODEL_HELP,
    )


def checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-chk",
        dest="checkpoint",
        default="checkpoint_final.pth",
        metavar="FILE",
        help="checkpoint in each fold, such as checkpoint_best.pth (default checkpoint_final.pth)",
    )


def model(parser: argparse.ArgumentParser, *, variable: str | None = None) -> None:
    """The options of every verb that runs a model."""
    parser.add_argument(
        "-m",
        dest="model",
        type=Path,
        **required_unless(variable),
        help=MODEL_HELP,
    )
    how_to_run(parser)


def how_to_run(parser: argparse.ArgumentParser) -> None:
    """The same without the folder of the model."""
    parser.add_argument(
        "-f",
        dest="folds",
        type=fold,
        nargs="+",
        metavar="FOLD",
        help="folds to average (default: all numbered folds that were trained)",
    )
    parser.add_argument(
        "-device", choices=DEVICES, help="device to run on (default: cuda if available, else cpu)"
    )
    parser.add_argument(
        "--disable_tta",
        action="store_true",
        help="no test-time mirroring: faster, slightly less accurate",
    )
    parser.add_argument(
        "-step_size",
        type=above_0(1),
        default=0.5,
        metavar="S",
        help="step of the sliding window as a share of the patch (default 0.5)",
    )
    checkpoint(parser)
    parser.add_argument(
        "--with",
        dest="adapter",
        type=Path,
        default=os.environ.get("nnUNet_prompt_with") or None,
        metavar="NAME",
        help="adapter that `learn` wrote from this model: its structures, tuned weights",
    )
    parser.add_argument(
        "--word-bank",
        type=Path,
        metavar="FILE.npz",
        help="bank of paraphrases with their embeddings, for words that name structures (default: words.npz of the"
        " model, where it has one; docs/prompts.md)",
    )
    parser.add_argument(
        "--window",
        choices=("prompted", "full"),
        default="prompted",
        help="with prompts: run only tiles around the prompts (default), or the tiles of nnU-Net's sliding window"
        " that contain them",
    )
    stay = "do not add tiles where a mask touches the border of those around the prompts"
    parser.add_argument("--no-grow", dest="grow", action="store_false", help=stay)
    raw = "keep the masks as predicted, even where a positive point ends up outside or a label is empty"
    parser.add_argument(
        "--no-prompt-consistency", dest="consistent", action="store_false", help=raw
    )
    every = "keep all components of structures that were a single one in every training case"
    parser.add_argument("--all-components", dest="one_component", action="store_false", help=every)
    single = "without prompts: run every tile, also those of a single value, such as padding, which are else run once"
    parser.add_argument("--all-tiles", dest="skip_single", action="store_false", help=single)
    half = "compute in bfloat16, for CPUs that have it: about twice as fast, masks may differ in single voxels"
    parser.add_argument("--bfloat16", action="store_true", help=half)


def predict_options(args: argparse.Namespace) -> PredictOptions:
    """The values of the options of `model`."""
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
        skip_single=args.skip_single,
        consistent=args.consistent,
        one_component=args.one_component,
        adapter=args.adapter,
        word_bank=args.word_bank,
    )


def given_convention(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that reads a prompts.json."""
    order = "axis that x runs along in a prompts.json: 0 (xy) or 1 (yx) (default auto: inferred from all cases)"
    parser.add_argument("--order", choices=("auto", "xy", "yx"), default="auto", help=order)
    base = "whether slices of a prompts.json count from 0 or 1 (default auto: inferred)"
    parser.add_argument("--base", choices=("auto", "0", "1"), default="auto", help=base)
    inclusive = parser.add_argument("--inclusive", nargs="?", const="yes", default="auto")
    inclusive.choices = ("auto", "yes", "no")
    inclusive.help = (
        "whether a box of a prompts.json includes its upper corner (default auto: inferred)"
    )


def required_unless(variable: str | None) -> dict[str, Any]:
    """An option that must be given, unless a container's environment states it."""
    value = os.environ.get(variable) if variable else None
    return {"default": Path(value)} if value else {"required": True}


def take_from_hub(args: argparse.Namespace) -> None:
    """Downloads the model that a verb was given by its address on a hub, and puts its folder in place of the address.

    Raises `ModelError` for what cannot be downloaded.
    """
    for name in ("model", "source") if args.verb == "weights" else ("model",):
        given = getattr(args, name, None)
        if isinstance(given, Path) and str(given).startswith(HUB):
            note(f"loading {str(given).replace(':/', '://', 1)}")
            from nnunet_prompt.weights.hub import local_model

            setattr(args, name, local_model(given))


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


def above_0(most: int) -> Callable[[str], float]:
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
