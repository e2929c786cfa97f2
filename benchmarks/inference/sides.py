"""The sides of the inference benchmark. Each answers one case in a process of its own.

A side takes a `Case` and its model and returns the seconds of its parts and how many tiles its network was given.
Libraries and model are loaded before the clock starts. None mirrors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from inference.automatic import all_run, automatic, bfloat16
from inference.clock import Case, Clock, Stopwatch, device, watched

CHECKPOINT = "checkpoint_final.pth"


def stock(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    """(a) nnU-Net's own predictor without prompts, on the export of `weights export --format nnunet`."""
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    predictor = _nnunet(model)
    settings, plans = predictor.configuration_manager, predictor.plans_manager
    predictor.network.load_state_dict(predictor.list_of_parameters[0])

    def run() -> dict[str, Any]:
        clock = Clock()
        with watched(clock, predictor.network):
            with clock.part("read"):
                files = [str(p) for p in case.images]
                data, properties = plans.image_reader_writer_class().read_images(files)
            with clock.part("preprocess"):
                data, _, properties = settings.preprocessor_class(verbose=False).run_case_npy(
                    data, None, properties, plans, settings, predictor.dataset_json
                )
            with clock.part("network"):
                logits = predictor.predict_logits_from_preprocessed_data(
                    torch.from_numpy(data)
                ).cpu()
            with clock.part("export"):
                export_prediction_from_logits(
                    logits, properties, settings, plans, predictor.dataset_json,
                    str(case.mask).removesuffix(".nii.gz"),
                )  # fmt: skip
        return clock.found()

    return run


def one_by_one(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    """(b) nnU-Net's sliding window over all of the volume for each label, its prompts as channels of the volume.

    Read and preprocessed once, the logits of each label resampled back and the largest above zero taken.
    """
    from types import SimpleNamespace

    from nnunet_prompt.io.nifti import read_nifti, write_labels_like
    from nnunet_prompt.prompts.encode import Window, encode

    ours, given = _ours(model), case.given()
    settings, plans = ours.model.configuration, ours.model.plans
    predictor = _nnunet(None)
    predictor.manual_initialization(
        ObjectHead(ours.engine.network), plans, settings, None, ours.model.dataset_json, "", None
    )
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=1)

    def run() -> dict[str, Any]:
        clock = Clock()
        with watched(clock, ours.engine.network):
            with clock.part("read"):
                volumes = [read_nifti(p) for p in case.images]
            with clock.part("preprocess"):
                placed = ours.place(volumes, whole=True)
            to_grid = placed.file_to_reader.then(placed.grid.to_grid)
            image, merged = placed.image.array, Merged()
            for label, prompts in with_negatives(given.labels).items():
                with clock.part("network"):
                    whole = Window((0, 0, 0), placed.image.shape)
                    channels = encode(to_grid.prompts(prompts), whole, ours.engine.style)
                    shown = torch.cat([image, torch.from_numpy(channels)])
                    logits = predictor.predict_sliding_window_return_logits(shown).cpu()
                    del channels, shown
                with clock.part("export"):
                    merged.add(label, placed.grid, logits, settings)
            with clock.part("export"):
                labels = np.zeros(placed.file_shape, np.int32)
                bounds = tuple(slice(low, high) for low, high in placed.grid.bounds)
                placed.file_to_reader.apply(labels)[bounds] = merged.labels
                write_labels_like(case.mask, labels, volumes[0])
        return clock.found()

    return run


def full(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    """Our engine with every tile of the full window that sees a prompt: the masks that others are compared with."""
    return ours(case, model, window="full")


def ours(case: Case, model: Path, *, window: str = "prompted") -> Callable[[], dict[str, Any]]:
    """(d) our predictor as `nnunet-prompt predict` uses it: images as stored, forgotten once they are preprocessed."""
    from nnunet_prompt.io.nifti import read_stored, write_labels_like
    from nnunet_prompt.sliding_window.lazy_image import LazyImage
    from nnunet_prompt.sliding_window.sliding_window import Engine

    predictor, given = _ours(model, window=window), case.given()

    def run() -> dict[str, Any]:
        clock, tiles = Clock(), Stopwatch(LazyImage.tile)
        network, drawing = Stopwatch(Engine.find), Stopwatch(Engine._draw)
        with (
            watched(clock, predictor.engine.network),
            patch.object(LazyImage, "tile", tiles.timed()),
            patch.object(Engine, "find", network.timed()),
            patch.object(Engine, "_draw", drawing.timed()),
        ):
            with clock.part("read"):
                volumes = [read_stored(p) for p in case.images]
                reference = volumes[0].without_voxels()
            with clock.part("preprocess"):
                placed = predictor.place(volumes)
                del volumes
            with clock.part("export"):
                answer = predictor.answer(placed, given)
                write_labels_like(case.mask, answer.labels, reference)
        clock.seconds["export"] -= network.seconds
        clock.seconds["network"] = network.seconds - tiles.seconds
        clock.seconds["preprocess"] += tiles.seconds
        about = {
            "by_label": {str(k): n for k, n in answer.tiles.items()},
            "grown": {str(k): n for k, n in answer.grown.items()},
            "windows": {str(k): [w.origin for w in own] for k, own in answer.windows.items()},
            "drawing": drawing.seconds,
        }
        return clock.found() | about

    return run


def nninteractive(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    """(c) nnInteractive's session on our export, auto-zoom on, one object after the other.

    It gets all prompts of an object before it predicts once, the largest box last, because it looks where the
    last prompt is: the least that it can be asked for.
    """
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

    from nnunet_prompt.io.nifti import read_nifti, write_labels_like

    session = nnInteractiveInferenceSession(
        device=device(), torch_n_threads=torch.get_num_threads(), enable_undo=False
    )
    session.initialize_from_trained_model_folder(str(model), 0, CHECKPOINT)
    given = case.given()

    def run() -> dict[str, Any]:
        clock = Clock()
        by_label: dict[str, int] = {}
        with watched(clock, session.network):
            with clock.part("read"):
                (volume,) = (read_nifti(p) for p in case.images)
            with clock.part("preprocess"):
                image = volume.array.transpose(2, 1, 0)
                session.set_image(image[None])
                session.preprocess_future.result()
                labels = np.zeros(volume.shape, np.int32)
            for label, prompts in with_negatives(given.labels).items():
                before = clock.tiles
                with clock.part("network"):
                    session.reset_interactions()
                    found = np.zeros(image.shape, np.uint8)
                    session.set_target_buffer(found)
                    _add(session, prompts)
                with clock.part("export"):
                    labels.transpose(2, 1, 0)[found > 0] = label
                by_label[str(label)] = clock.tiles - before
            with clock.part("export"):
                write_labels_like(case.mask, labels, volume)
        return clock.found() | {"by_label": by_label}

    return run


def _add(session: Any, prompts: Any) -> None:
    """Adds all prompts of an object and predicts; nnInteractive's axes are the file's, reversed."""

    def size(box: Any) -> float:
        return float(np.prod([b - a for a, b in zip(box.lower, box.upper, strict=True)]))

    for point in prompts.points:
        session.add_point_interaction(
            tuple(int(v) for v in point.position[::-1]), point.positive, run_prediction=False
        )
    boxes = sorted(prompts.boxes, key=size)
    for number, box in enumerate(boxes, 1):
        pairs = [[int(a), int(b)] for a, b in zip(box.lower[::-1], box.upper[::-1], strict=True)]
        session.add_bbox_interaction(pairs, box.positive, run_prediction=number == len(boxes))


def with_negatives(labels: Mapping[int, Any]) -> dict[int, Any]:
    """Each label's prompts with the points of the others as negatives, as our predictor shows them."""
    return {
        label: own.with_negatives([o for other, o in labels.items() if other != label])
        for label, own in labels.items()
    }


def _ours(model: Path, *, window: str = "prompted") -> Any:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor

    options = PredictOptions(use_mirroring=False, window=window)  # type: ignore[arg-type]
    return PromptPredictor.from_folder(model, options)


def _nnunet(model: Path | None) -> Any:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=False, device=device(), allow_tqdm=False)
    if model is not None:
        predictor.initialize_from_trained_model_folder(str(model), (0,), CHECKPOINT)
    return predictor


class ObjectHead(torch.nn.Module):
    """The network's first output alone."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(x)[:, :1]
        return logits


class Merged:
    """The label with the largest logit above zero so far, on nnU-Net's crop of the reader frame."""

    def __init__(self) -> None:
        self.best: Any = None
        self.labels: Any = None

    def add(self, label: int, grid: Any, logits: torch.Tensor, settings: Any) -> None:
        here = settings.resampling_fn_probabilities(
            logits.float(), grid.to_crop.target_shape, grid.grid_spacing, grid.crop_spacing
        )
        here = np.asarray(here[0], np.float32)
        if self.best is None:
            self.best, self.labels = (
                np.zeros(here.shape, np.float32),
                np.zeros(here.shape, np.int32),
            )
        above = here > self.best
        self.best[above], self.labels[above] = here[above], label


SIDES: Mapping[str, Callable[[Case, Path], Callable[[], dict[str, Any]]]] = {
    "stock": stock,
    "one_by_one": one_by_one,
    "full": full,
    "ours": ours,
    "padded": ours,
    "nninteractive": nninteractive,
    "ours_voxels": ours,
    "automatic": automatic,
    "automatic_all_run": all_run,
    "automatic_bfloat16": bfloat16,
}
