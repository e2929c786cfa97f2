"""Our automatic pass as a side of the inference benchmark: structures without prompts, as `nnunet-prompt predict` runs
it on images as stored, in 32 bits or in bfloat16, and with tiles of a single value run like all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from inference.clock import Case, Clock, Stopwatch, watched


def automatic(
    case: Case, model: Path, *, bfloat16: bool = False, skip: bool = True
) -> Callable[[], dict[str, Any]]:
    """(e) our predictor without prompts, all structures in one pass."""
    from nnunet_prompt.inference.automatic import AutomaticPass
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor
    from nnunet_prompt.io.nifti import read_stored, write_labels_like
    from nnunet_prompt.sliding_window import structure_pass

    options = PredictOptions(use_mirroring=False, bfloat16=bfloat16)
    predictor = PromptPredictor.from_folder(model, options)
    predictor.engine = replace(predictor.engine, skip_single=skip)
    counted: list[Any] = []
    honest = AutomaticPass.labels

    def labels(*args: Any) -> Any:
        counted.append(honest(*args))
        return counted[-1]

    def run() -> dict[str, Any]:
        clock, network = Clock(), Stopwatch(structure_pass._Asked.logits)
        with (
            watched(clock, predictor.engine.network),
            patch.object(structure_pass._Asked, "logits", network.timed()),
            patch.object(AutomaticPass, "labels", labels),
        ):
            with clock.part("read"):
                volumes = [read_stored(p) for p in case.images]
                reference = volumes[0].without_voxels()
            with clock.part("preprocess"):
                placed = predictor.place(volumes, whole=True)
                del volumes
            with clock.part("export"):
                found = predictor.answer_structures(placed)
                write_labels_like(case.mask, found, reference)
        clock.seconds["export"] -= network.seconds
        clock.seconds["network"] = network.seconds
        return clock.found() | {"lattice": counted[-1].tiles, "skipped": counted[-1].skipped}

    return run


def bfloat16(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    return automatic(case, model, bfloat16=True)


def all_run(case: Case, model: Path) -> Callable[[], dict[str, Any]]:
    return automatic(case, model, skip=False)
