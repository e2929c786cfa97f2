"""The steps of the inference benchmark, each in a process of its own: generate, train, answer, score.

OUTPUT/TASK/training.npz                 synthetic cases to train on
OUTPUT/TASK/case, padded                 image files and prompts
OUTPUT/TASK/plain, voxels                models of ours: with resampling, and without as nnInteractive needs it
OUTPUT/TASK/stock, nninteractive         their exports (`weights export`)
OUTPUT/TASK/masks, records               the masks of the sides, and their measurements
"""

from __future__ import annotations

import pickle
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from harness import Array

from inference.phantoms import draw, refine
from inference.tasks import SEED, Task

TRAINING_CASES = 2
LARGE = 1000  # voxels, above which a label's agreement counts
PAD = 2  # times as long along every axis
MODEL_OF = {
    "stock": "stock",
    "nninteractive": "nninteractive",
    "ours_voxels": "voxels",
}  # all others: plain


def draw_step(task: Task, folder: Path) -> dict[str, Any]:
    """Generates the training cases and the case of the benchmark with its prompts."""
    from nnunet_prompt.training.validation_prompts import simulated_prompts

    rng = np.random.default_rng([SEED, task.dataset_id])
    labels, images = refine(task, *draw(task, rng), rng)
    truth = to_file(labels)
    write(folder / "case" / "truth.nii.gz", truth, task)
    for channel, image in enumerate(images):
        write(folder / "case" / f"case_{channel:04d}.nii.gz", to_file(image), task)
    masks = {value: truth == value for value in task.values.values()}
    sets: dict[int, Any] = {}
    if not task.automatic:
        sets = simulated_prompts(masks, "box + points in slices", task.name, slice_axis=2)
    save_prompts(folder / "case", sets)
    if task.padded:
        pad(task, folder, to_file(images[0]), sets)
    boxes = [_box_voxels(mask) for mask in masks.values()]
    union = _box_voxels(np.isin(truth, list(task.values.values())))
    del masks, images
    drawn = [draw(task, rng) for _ in range(TRAINING_CASES)]
    np.savez(
        folder / "training.npz",
        labels=np.stack([d[0] for d in drawn]),
        images=np.stack([d[1] for d in drawn]),
    )
    return {
        "shape": list(truth.shape),
        "labelled": float((truth > 0).mean()),
        "box": union / truth.size,
        "boxes": float(np.mean(boxes)) / truth.size,
        "prompts": sum(len(s.boxes) + sum(p.positive for p in s.points) for s in sets.values()),
    }


def pad(task: Task, folder: Path, image: Array, sets: dict[int, Any]) -> None:
    """The same case in the middle of empty space."""
    from nnunet_prompt.prompts.frames import crop

    large = tuple(PAD * n for n in image.shape)
    inside = [((b - n) // 2, (b - n) // 2 + n) for b, n in zip(large, image.shape, strict=True)]
    padded = np.zeros(large, np.int16)
    padded[tuple(slice(a, b) for a, b in inside)] = np.rint(image)
    write(folder / "padded" / "case_0000.nii.gz", padded, task)
    there = crop(large, inside).inverse()
    save_prompts(folder / "padded", {k: there.prompts(s) for k, s in sets.items()})


def model_step(task: Task, folder: Path, *, voxels: bool, iterations: int) -> dict[str, Any]:
    """Trains a model and exports it for the sides that it is compared with."""
    import torch

    from inference.models import train
    from nnunet_prompt.weights.export import export_model

    stored = np.load(folder / "training.npz")
    cases = list(zip(stored["labels"], stored["images"], strict=True))
    model = folder / ("voxels" if voxels else "plain")
    about = train(task, cases, model, voxels=voxels, iterations=iterations)
    target = folder / ("nninteractive" if voxels else "stock")
    export_model(model, target, "nninteractive" if voxels else "nnunet")
    cuda = torch.cuda.is_available()
    return about | {
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "threads": torch.get_num_threads(),
    }


def side_step(task: Task, folder: Path, side: str) -> dict[str, Any]:
    """One side's answer; the medians of its repeats in this process."""
    from inference.clock import PARTS, Case, warm_up
    from inference.sides import SIDES

    warm_up()
    files = folder / ("padded" if side == "padded" else "case")
    mask = folder / "masks" / f"{side}.nii.gz"
    mask.parent.mkdir(exist_ok=True)
    case = Case(tuple(sorted(files.glob("case_*.nii.gz"))), files / "prompts.pkl", mask)
    run = SIDES[side](case, folder / MODEL_OF.get(side, "plain"))
    runs = [run() for _ in range(task.repeats)]
    parts = {p: statistics.median(r["parts"][p] for r in runs) for p in PARTS}
    total = statistics.median(sum(r["parts"].values()) for r in runs)
    return runs[-1] | {
        "parts": parts,
        "total": total,
        "forward": statistics.median(r["forward"] for r in runs),
    }


def score_step(task: Task, folder: Path) -> dict[str, Any]:
    """Dice to the reference by side and label, and how ours agrees with the full window."""
    from nnunet_prompt.io.nifti import read_labels

    truth = read_labels(folder / "case" / "truth.nii.gz")
    names = ("one_by_one", "full", "ours", "nninteractive", "ours_voxels", "padded")
    found = {
        name: read_labels(path)
        for name in names
        if (path := folder / "masks" / f"{name}.nii.gz").is_file()
    }
    if "padded" in found:
        inside = [slice((PAD - 1) * n // 2, (PAD - 1) * n // 2 + n) for n in truth.shape]
        found["padded"] = found["padded"][tuple(inside)]
    values = list(task.values.values())
    scores: dict[str, Any] = {
        "dice": {
            name: {str(v): dice(mask == v, truth == v) for v in values}
            for name, mask in found.items()
        }
    }
    for name, reference in (("ours", "full"), ("padded", "ours")):
        if name in found and reference in found:
            scores[f"{name}_{reference}"] = agreement(found[name], found[reference], values)
    scores |= automatic_scores(folder / "masks", values)
    return scores


def automatic_scores(masks: Path, values: list[int]) -> dict[str, Any]:
    """How our automatic masks agree with stock nnU-Net's, whose labels are 1, 2, ... in the order of the values."""
    from nnunet_prompt.io.nifti import read_labels

    if not (masks / "stock.nii.gz").is_file():
        return {}
    stock = np.array([0, *values], np.uint16)[read_labels(masks / "stock.nii.gz")]
    return {
        f"{name}_stock": agreement(read_labels(path), stock, values)
        for name in ("automatic", "automatic_all_run", "automatic_bfloat16")
        if (path := masks / f"{name}.nii.gz").is_file()
    }


def agreement(mask: Array, reference: Array, values: list[int]) -> dict[str, Any]:
    """Whether two label maps are the same, by label, and the Dice between them."""
    return {
        str(v): {
            "voxels": int((reference == v).sum()),
            "same": bool(np.array_equal(mask == v, reference == v)),
            "dice": dice(mask == v, reference == v),
        }
        for v in values
    }


def dice(a: Array, b: Array) -> float:
    """The Dice coefficient; two empty masks agree."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def to_file(array: Array) -> Array:
    """From the generated frame to the file's."""
    return np.ascontiguousarray(array.transpose(1, 0, 2))


def write(path: Path, array: Array, task: Task) -> None:
    """A file whose axes grow to left, posterior and superior; images as 16-bit integers, as scanners store them."""
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    posterior, left, superior = task.spacing_mm
    stored = array if array.dtype.kind in "ui" else np.rint(array).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, np.diag([-left, -posterior, superior, 1.0])), path)


def save_prompts(folder: Path, sets: dict[int, Any]) -> None:
    from nnunet_prompt.prompts.types import CasePrompts

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.pkl").write_bytes(pickle.dumps(CasePrompts(sets)))


def _box_voxels(mask: Array) -> int:
    """The voxels of the tightest box around a mask."""
    from scipy.ndimage import find_objects

    (box,) = find_objects(mask.astype(np.uint8))
    return int(np.prod([side.stop - side.start for side in box]))


def real_step(model: Path, raw: Path) -> dict[str, Any]:
    """Accuracy of a model that benchmarks/real.py trained, on its validation cases: the tiles around the prompts
    beside the full window, by label and case."""
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor
    from nnunet_prompt.io.nifti import read_labels, read_nifti
    from nnunet_prompt.prompts.types import CasePrompts
    from nnunet_prompt.sliding_window.tiles import Tiling
    from nnunet_prompt.training.validation_prompts import simulated_prompts

    sides = {
        window: PromptPredictor.from_folder(
            model,
            PredictOptions(use_mirroring=False, window=window),  # type: ignore[arg-type]
        )
        for window in ("prompted", "full")
    }
    rows = []
    for path in sorted((model / "fold_0" / "validation").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        images = [read_nifti(p) for p in sorted((raw / "imagesTr").glob(f"{name}_*.nii.gz"))]
        truth = read_labels(raw / "labelsTr" / path.name)
        masks = {int(v): truth == v for v in np.unique(truth) if v}
        axis = int(np.argmax(images[0].spacing_mm))
        prompts = CasePrompts(
            simulated_prompts(masks, "box + points in slices", name, slice_axis=axis)
        )
        found, placed = {}, None
        for window, predictor in sides.items():
            placed = predictor.place(images)
            found[window] = predictor.answer(placed, prompts)
        assert placed is not None
        engine = sides["full"].engine
        lattice = Tiling(placed.image.shape, engine.patch_size, engine.step_size).lattice()  # type: ignore[arg-type]
        ours, full = found["prompted"], found["full"]
        for v in masks:
            rows.append(
                {
                    "case": name,
                    "label": v,
                    "voxels": int((full.labels == v).sum()),
                    "tiles": [ours.tiles[v], full.tiles[v], len(lattice)],
                    "all_tiles": set(ours.windows[v]) == set(full.windows[v]) and not ours.grown[v],
                    "same": bool(np.array_equal(ours.labels == v, full.labels == v)),
                    "agreement": dice(ours.labels == v, full.labels == v),
                    "dice": [dice(a.labels == v, masks[v]) for a in (ours, full)],
                }
            )
    return {"rows": rows, "patch": list(sides["full"].engine.patch_size)}
