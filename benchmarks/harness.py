"""The common parts of all benchmarks: options, result files, commands of nnU-Net, timing, held-out cases and tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from nnunet_prompt.training.external_trainers import environment

ROOT = Path(__file__).parent
RESULTS, TRAINERS = ROOT / "results", ROOT / "trainers"
CONFIGURATION, CPU_PLANS = "3d_fullres", "nnUNetPromptCPUPlans"
PLAN_AND_PREPROCESS = "nnUNetv2_plan_and_preprocess -np 1 -npfp 1 -c 3d_fullres -d".split()
Array = npt.NDArray[Any]


def parser(
    doc: str | None, *, data: str | None = None, output: str | None = None
) -> argparse.ArgumentParser:
    """The options that most benchmarks have: the folder DATA (its help) and -o (its default)."""
    found = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    if data is not None:
        found.add_argument("data", type=Path, help=data)
    if output is not None:
        found.add_argument("-o", "--output", type=Path, default=Path(output))
    return found


def seed_arguments(
    doc: str | None, archive: str, output: str, seeds: Sequence[int]
) -> argparse.Namespace:
    """What a benchmark of trainings is given: DATA, -o and --seeds, with `archive`, the file of DATA that it takes.

    Ends the benchmark where there is no such file.
    """
    found = parser(doc, data=f"folder with {archive}", output=output)
    found.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    args = found.parse_args()
    args.archive = args.data / archive
    if not args.archive.is_file():
        raise SystemExit(f"{args.archive}: not found, nothing to compare")
    return args


def on_held_out(
    doc: str | None,
    record: Record,
    measure: Callable[[Path, Iterator[HeldOut]], Mapping[str, Any]],
    report: Callable[[dict[str, Any]], str],
    *,
    cases: int,
) -> int:
    """Runs a benchmark of a trained model, given MODEL, IMAGES and LABELS, -n (default `cases`) and --name.

    `measure` makes of a model and its cases the numbers that stand under the name.
    """
    found = parser(doc)
    for name in ("model", "images", "labels"):
        found.add_argument(name, type=Path)
    found.add_argument("-n", "--cases", type=int, default=cases)
    found.add_argument("--name", required=True)
    args = found.parse_args()
    names = [p.name.removesuffix(".nii.gz") for p in sorted(args.labels.glob("*.nii.gz"))]
    names = names[: args.cases]
    measured = measure(args.model, HeldOut.each(names, args.images, args.labels))
    results = record.earlier() | {args.name: {"cases": len(names), **measured}}
    record.publish(results, report(results))
    return 0


def held_out_lines(name: str, result: Mapping[str, Any]) -> list[str]:
    """The title of the table of one name."""
    return ["", f"## {name}, {result['cases']} held-out cases", ""]


@dataclass(frozen=True, slots=True)
class Record:
    """The result files benchmarks/results/NAME.json and NAME.md."""

    name: str

    def earlier(self) -> dict[str, Any]:
        """The numbers of earlier runs; what is not run again is kept."""
        path = RESULTS / f"{self.name}.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def write(self, results: Mapping[str, Any], text: str) -> None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / f"{self.name}.md").write_text(text)

    def publish(self, results: Mapping[str, Any], text: str) -> None:
        """Writes both files and prints the tables."""
        self.write(results, text)
        print(text)


def report_earlier(results: Iterable[str], measured: Iterable[str]) -> None:
    """Names on stderr the results that are of an earlier run."""
    if earlier := [name for name in results if name not in set(measured)]:
        print(f"measured in an earlier run: {', '.join(earlier)}", file=sys.stderr)


def machine(cores: int | None = None) -> str:
    """The line that describes this machine."""
    return (
        f"Python {platform.python_version()}, {cores or os.cpu_count()} cores, {platform.machine()}"
    )


def header(*columns: str, left: Sequence[int] = (0,)) -> list[str]:
    """The head of a Markdown table; columns other than those in `left` are numbers."""
    lines = ["---" if i in left else "---:" for i in range(len(columns))]
    return ["|" + "".join(f" {c} |" if c else " |" for c in columns), f"|{'|'.join(lines)}|"]


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def mean_and_range(values: Sequence[float], digits: int = 4) -> str:
    """The mean over the seeds, and half their range where there are several."""
    spread = f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def folders(output: Path, results: str = "nnUNet_results") -> dict[str, str]:
    """nnU-Net's folders below `output`, our trainers and those of the benchmarks; nothing compiled."""
    ours = environment()
    ours["nnUNet_extTrainer"] = os.pathsep.join([str(TRAINERS), ours["nnUNet_extTrainer"]])
    places = {"nnUNet_raw": "nnUNet_raw", "nnUNet_preprocessed": "nnUNet_preprocessed"}
    places |= {"nnUNet_results": results}
    return {
        **{name: str((output / place).resolve()) for name, place in places.items()},
        "nnUNet_compile": "f",
        **ours,
    }


# nnU-Net's planner needs a worker, training in one process none
ONE_WORKER = {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}


def run(command: Sequence[str], variables: Mapping[str, str], console: Console) -> None:
    """Runs a command of this environment, shown first; ends the benchmark where it fails."""
    console.print("$ " + " ".join(command), style="bold", markup=False)
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [str(program), *command[1:]], env={**os.environ, **variables}, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"{command[0]} failed with exit code {done.returncode}; run it again to resume"
        )


def training_command(fold: Path, command: str, start: Path | None = None) -> list[str] | None:
    """The `nnUNetv2_train` that trains and validates the folder `fold`, or resumes it; None where it is finished.

    `command` has its options but for the device. A new training starts from the checkpoint `start` if there is one.
    """
    if (fold / "validation" / "summary.json").is_file():
        return None
    words = ["nnUNetv2_train", *command.split(), "-device", "cpu"]
    if (fold / "checkpoint_final.pth").is_file():
        return [*words, "--val"]
    if (fold / "checkpoint_latest.pth").is_file():
        return [*words, "--c"]
    return words if start is None else [*words, "-pretrained_weights", str(start)]


def train(
    fold: Path,
    command: str,
    variables: Mapping[str, str],
    console: Console,
    start: Path | None = None,
) -> None:
    """Trains and validates the folder `fold`, or resumes it, see `training_command`."""
    words = training_command(fold, command, start)
    if words is not None:
        run(words, variables, console)


def prompt_dice(fold: Path, kinds: Iterable[str]) -> dict[str, float]:
    """The mean Dice of a finished validation by kind of prompt."""
    found = json.loads((fold / "validation" / "summary.json").read_text())["prompt_kinds"]
    return {kind: found[kind]["foreground_mean"]["Dice"] for kind in kinds}


def prompt_dices(folds: Sequence[Path], kinds: Iterable[str]) -> dict[str, list[float]]:
    """The same for each kind of prompt, one number per fold."""
    kinds = list(kinds)
    found = [prompt_dice(fold, kinds) for fold in folds]
    return {kind: [one[kind] for one in found] for kind in kinds}


def unpack(archive: Path, target: Path, name: str) -> Path:
    """The folder `name` of an archive of raw data below `target`, unpacked once."""
    source = target / name
    if not (source / "dataset.json").is_file():
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    return source


def label_only(source: Path, target: Path, *, name: str, value: int) -> None:
    """A raw data set with the same images and one label, 1 where `source` has `value`; dataset.json comes last."""
    import nibabel as nib

    if (target / "dataset.json").is_file():
        return
    (target / "labelsTr").mkdir(parents=True, exist_ok=True)
    if not (target / "imagesTr").exists():
        (target / "imagesTr").symlink_to((source / "imagesTr").resolve())
    for path in sorted((source / "labelsTr").glob("*.nii.gz")):
        image: Any = nib.load(path)
        labels = (np.asarray(image.dataobj) == value).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, image.affine), target / "labelsTr" / path.name)
    described = json.loads((source / "dataset.json").read_text())
    described["labels"] = {"background": 0, name: 1}
    (target / "dataset.json").write_text(json.dumps(described, indent=1))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """One held-out case: its image, and in the file's frame its reference, whole and by label."""

    name: str
    image: Any
    truth: Array
    masks: dict[int, npt.NDArray[np.bool_]]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def read(cls, name: str, images: Path, truths: Path) -> HeldOut:
        from nnunet_prompt.io.nifti import read_label_volume, read_stored

        truth = read_label_volume(truths / f"{name}.nii.gz")
        image = read_stored(images / f"{name}_0000.nii.gz")
        masks = {int(v): truth.array == v for v in np.unique(truth.array) if v}
        return cls(name, image, truth.array, masks, truth.spacing_mm)

    @classmethod
    def each(cls, names: Iterable[str], images: Path, truths: Path) -> Iterator[HeldOut]:
        """Reads some cases one by one, with progress."""
        from tqdm import tqdm

        for name in tqdm(list(names), unit="case", disable=None):
            yield cls.read(name, images, truths)


def predictor(model: Path, **options: Any) -> Any:
    """Our predictor of a model folder on the CPU, without mirroring."""
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor

    settings = PredictOptions(device="cpu", use_mirroring=False, **options)
    return PromptPredictor.from_folder(model, settings)


def answers(
    predictors: Mapping[str, Any], cases: Iterable[HeldOut], kinds: Sequence[str], label: int | None
) -> Iterator[tuple[str, str, list[float]]]:
    """By kind of prompt ("none": of the structures, without any) and predictor the Dice of each label (or of `label`
    alone) of each case.
    """
    from nnunet_prompt.evaluation.metrics import dice
    from nnunet_prompt.prompts.types import CasePrompts
    from nnunet_prompt.training.validation_prompts import simulated_prompts

    for case in cases:
        masks = {v: mask for v, mask in case.masks.items() if label in (None, v)}
        placed = {name: one.place([case.image]) for name, one in predictors.items()}
        if "none" in kinds:
            for name, one in predictors.items():
                mask = one.predict_structures([case.image])
                yield "none", name, [dice(own, mask == v) for v, own in masks.items()]
        for kind in [kind for kind in kinds if kind != "none"]:
            sets = simulated_prompts(
                masks, kind, case.name, slice_axis=2, spacing=case.image.spacing_mm
            )
            for name, one in predictors.items():
                mask = one.answer(placed[name], CasePrompts(sets)).labels
                yield kind, name, [dice(own, mask == v) for v, own in masks.items()]


def turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of calls that take turns, so that all meet the same load; the first of each is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def medians(runs: Sequence[Mapping[str, Any]], *keys: str) -> dict[str, Any]:
    """The median of each key over several runs."""
    return {key: statistics.median(r[key] for r in runs) for key in keys}


def max_rss_bytes(usage: Any) -> int:
    """The largest resident memory of a process from its `resource` usage."""
    return int(usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def network_plans(
    dataset: str, configuration: Mapping[str, Any], *, network: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """nnU-Net's plans with one 3D configuration, whose given keys complete the usual ones."""
    channels = len(configuration.get("normalization_schemes", [0]))
    return {
        "dataset_name": dataset,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(i): {} for i in range(channels)},
        "configurations": {
            CONFIGURATION: {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False] * channels,
                "batch_dice": False,
                **configuration,
                "architecture": {
                    "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
                    "arch_kwargs": dict(arguments),
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            }
        },
    }
