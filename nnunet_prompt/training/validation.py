"""Validation on full volumes, once per kind of prompt, in nnU-Net's summary.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.evaluation.metrics import Scores, score_masks
from nnunet_prompt.inference.components import keep_largest
from nnunet_prompt.inference.consistent import settle_points
from nnunet_prompt.inference.find import find_objects
from nnunet_prompt.inference.grid import Grid, Placed, grid_of
from nnunet_prompt.inference.merge import LabelMap, decode_structures, merge_objects, slice_gate
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.frames import AxisMap, identity
from nnunet_prompt.prompts.types import CasePrompts
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.training.validation_prompts import (
    VALIDATION_KINDS,
    folder_name,
    is_gated,
    simulated_prompts,
)

PATIENCE = timedelta(days=30)


@dataclass(frozen=True, slots=True, eq=False)
class ValidationCase:
    """One case of the validation set: preprocessed image (C, *grid) and its reference in the reader frame."""

    name: str
    image: torch.Tensor
    truth: npt.NDArray[np.int32]
    grid: Grid
    spacing_mm: tuple[float, ...]
    annotated: tuple[Structure, ...]
    properties: dict[str, Any]


def validate(trainer: Any, *, save_probabilities: bool = False) -> dict[str, Any]:
    """Predicts the validation cases of a trainer's fold with each kind of prompt and writes summary.json.

    `validation/CASE` holds the masks without prompts, `validation/KIND/CASE` those with. `summary.json` has nnU-Net's
    keys for the former and `prompt_kinds` for all: Dice, HD and HD95 (mm) per structure, and `gated` where a label may
    only appear in the slices where it is prompted (see `training.validation_prompts` for the kinds). A case counts for
    the structures that it annotates. Under DDP each device takes its share of the cases.

    Prompts are answered by the tiles that `predict` runs.
    """
    if save_probabilities:
        trainer.print_to_log_file(
            "WARNING: --npz is not supported with prompts, no probabilities are saved"
        )
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    folder = Path(trainer.output_folder) / "validation"
    folder.mkdir(parents=True, exist_ok=True)
    engine = _engine(trainer)
    everyone = waiting_group() if trainer.is_ddp else None
    rows = []
    for case in _cases(trainer):
        trainer.print_to_log_file(f"predicting {case.name}, shape {tuple(case.image.shape)}")
        for kind in VALIDATION_KINDS:
            labels = _predict(engine, case, kind, trainer)
            _write(trainer, folder, case, kind, labels)
            rows += _score(case, kind, labels, trainer.label_manager.ignore_label)
    rows = gather(rows, everyone)
    summary: dict[str, Any] = {}
    if trainer.local_rank == 0:
        summary = summarise(rows, trainer.table)
        write_json(folder / "summary.json", summary, allow_nan=False)
        _log(trainer, summary)
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    return summary


def score_cases(trainer: Any, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of (case, kind, label, metrics) for the validation cases of a trainer's fold; writes nothing.

    "none" among the kinds is the structures without prompts. Raises as `validate` does.
    """
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    engine = _engine(trainer)
    rows = []
    for case in _cases(trainer):
        for kind in kinds:
            labels = _predict(engine, case, kind, trainer)
            rows += _score(case, kind, labels, trainer.label_manager.ignore_label)
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    return rows


def summarise(rows: Sequence[dict[str, Any]], table: StructureTable) -> dict[str, Any]:
    """nnU-Net's summary from rows of (case, kind, label, metrics); undefined values are left out of the means."""
    kinds: dict[str, Any] = {}
    for kind in VALIDATION_KINDS:
        mean = {}
        for structure in table.structures:
            here = [
                r["metrics"] for r in rows if r["kind"] == kind and r["label"] == structure.label
            ]
            if here:
                mean[str(structure.label)] = {m: _mean([h[m] for h in here]) for m in here[0]}
        foreground = {m: _mean([v[m] for v in mean.values()]) for m in ("Dice", "HD", "HD95")}
        kinds[kind] = {"gated": is_gated(kind), "mean": mean, "foreground_mean": foreground}
    cases = sorted({r["case"] for r in rows})
    per_case = [
        {
            "case": case,
            "metrics": {
                str(r["label"]): r["metrics"]
                for r in rows
                if (r["case"], r["kind"]) == (case, "none")
            },
            "prompt_kinds": {
                kind: {
                    str(r["label"]): r["metrics"]
                    for r in rows
                    if (r["case"], r["kind"]) == (case, kind)
                }
                for kind in VALIDATION_KINDS
            },
        }
        for case in cases
    ]
    return {
        "metric_per_case": per_case,
        "mean": kinds["none"]["mean"],
        "foreground_mean": kinds["none"]["foreground_mean"],
        "prompt_kinds": kinds,
        "structures": {str(s.label): s.name for s in table.structures},
    }


def _engine(trainer: Any) -> Engine:
    network = trainer.network.module if trainer.is_ddp else trainer.network
    return Engine(
        network=network,
        patch_size=tuple(int(n) for n in trainer.configuration_manager.patch_size),
        style=trainer.capability.style(),
        device=trainer.device,
        mirror_axes=tuple(trainer.inference_allowed_mirroring_axes or ()),
        max_batch=1 if trainer.device.type == "cpu" else 4,
    )


def _cases(trainer: Any) -> Iterator[ValidationCase]:
    """The validation cases of this device, one at a time."""
    _, keys = trainer.do_split()
    if trainer.is_ddp:
        keys = keys[trainer.local_rank :: torch.distributed.get_world_size()]
    dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, keys)
    reader = trainer.plans_manager.image_reader_writer_class()
    truths = Path(trainer.preprocessed_dataset_folder_base) / "gt_segmentations"
    for name in dataset.identifiers:
        data, _, _, properties = dataset.load_case(name)
        image = torch.from_numpy(np.array(data[:], np.float32))
        truth, _ = reader.read_seg(str(truths / f"{name}{trainer.dataset_json['file_ending']}"))
        known = trainer.table.annotated_labels(name)
        yield ValidationCase(
            name=name,
            image=image,
            truth=np.asarray(truth[0], np.int32),
            grid=grid_of(
                properties,
                trainer.plans_manager.transpose_forward,
                (image.shape[1], image.shape[2], image.shape[3]),
                trainer.configuration_manager.spacing,
            ),
            spacing_mm=tuple(float(s) for s in properties["spacing"]),
            annotated=tuple(s for s in trainer.table.structures if s.label in known),
            properties=properties,
        )


def _predict(engine: Engine, case: ValidationCase, kind: str, trainer: Any) -> LabelMap:
    """The label map of one case in the reader frame, in nnU-Net's label ids, by the rules of `submit`."""
    resampler = trainer.configuration_manager.resampling_fn_probabilities
    one_component = trainer.capability.one_component
    if kind == "none":
        table = trainer.table.in_labels()
        logits = engine.structures(case.image)
        labels = case.grid.restore(
            logits, resampler, lambda here, _: decode_structures(here, table)
        )
        keep_largest(labels, table, one_component)
        return labels
    masks = {s.label: case.truth == s.label for s in case.annotated}
    shown = {label: mask for label, mask in masks.items() if mask.any()}
    prompts = CasePrompts(
        simulated_prompts(shown, kind, case.name, spacing=case.spacing_mm),
        slices=_prompted_slices(masks) if is_gated(kind) else None,
        slice_axis=0,
    )
    here = identity(case.grid.to_grid.source_shape)
    found = find_objects(
        engine,
        Placed(DenseImage(case.image), case.grid, here, here),
        prompts,
        one_component=[s.label for s in trainer.table.structures if s.name in one_component],
    )
    found_labels = list(found)

    def decode(logits: npt.NDArray[Any], to_reader: AxisMap) -> LabelMap:
        gate = None
        if prompts.slices is not None:
            gate = slice_gate(prompts.slices, found_labels, to_reader, slice_axis=0)
        return merge_objects(logits, found_labels, gate)

    labels = np.zeros(case.truth.shape, np.int32)
    case.grid.paste(list(found.values()), resampler, decode, labels)
    settle_points(labels, prompts, here)
    return labels


def _prompted_slices(masks: Mapping[int, BoolArray]) -> dict[int, frozenset[int]]:
    """The labels with a voxel in each slice of the reader frame's first axis."""
    shown = {label: np.asarray(mask.any(axis=(1, 2))) for label, mask in masks.items()}
    count = max((len(s) for s in shown.values()), default=0)
    return {k: frozenset(label for label, s in shown.items() if s[k]) for k in range(count)}


def _score(
    case: ValidationCase, kind: str, labels: LabelMap, ignore: int | None
) -> list[dict[str, Any]]:
    seen = np.ones(case.truth.shape, bool) if ignore is None else case.truth != ignore
    rows = []
    for structure in case.annotated:
        truth = np.isin(case.truth, structure.members) & seen
        found = np.isin(labels, structure.members) & seen
        scores = score_masks(truth, found, spacing_mm=case.spacing_mm)
        rows.append(
            {"case": case.name, "kind": kind, "label": structure.label, "metrics": _metrics(scores)}
        )
    return rows


def _metrics(scores: Scores) -> dict[str, float | None]:
    values = {"Dice": scores.dice, "HD": scores.hd_mm, "HD95": scores.hd95_mm}
    return {name: None if np.isnan(v) else float(v) for name, v in values.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return float(np.mean(defined)) if defined else None


def _write(trainer: Any, folder: Path, case: ValidationCase, kind: str, labels: LabelMap) -> None:
    target = folder if kind == "none" else folder / folder_name(kind)
    target.mkdir(exist_ok=True)
    writer = trainer.plans_manager.image_reader_writer_class()
    path = target / f"{case.name}{trainer.dataset_json['file_ending']}"
    writer.write_seg(
        labels.astype(np.uint16 if labels.max() > 255 else np.uint8), str(path), case.properties
    )


def waiting_group() -> Any:
    """All devices as a group that waits as long as it takes; all of them have to call this at about the same time.

    nnU-Net's own group gives up after half an hour (NCCL: ten minutes), and a device may be done with its share of the
    cases hours before another.
    """
    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)


def gather(rows: list[dict[str, Any]], group: Any) -> list[dict[str, Any]]:
    """The rows of all devices of a group, on each of them, in the order of the ranks; without a group, `rows`."""
    if group is None:
        return rows
    everyone: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(everyone, rows, group=group)
    return [row for share in everyone for row in share]


def _log(trainer: Any, summary: Mapping[str, Any]) -> None:
    for label, metrics in summary["mean"].items():
        trainer.logger.log_summary(f"final_val/class_{label}_dice", metrics["Dice"])
    trainer.logger.log_summary("final_val/foreground_dice", summary["foreground_mean"]["Dice"])
    trainer.print_to_log_file("Validation complete", also_print_to_console=True)
    for kind, result in summary["prompt_kinds"].items():
        dice = result["foreground_mean"]["Dice"]
        trainer.print_to_log_file(
            f"Mean Validation Dice ({kind}): {dice}", also_print_to_console=True
        )
