"""Makes oracle_lesions.json: what panoptica and surface-distance measure on the pictures of `oracle_shapes`.

    python -m venv oracle && oracle/bin/pip install panoptica surface-distance
    oracle/bin/python tests/evaluation/make_oracle_lesions.py

Neither library is a dependency, so their values are kept. Panoptica finds components (26 neighbours in 3D), matches
them one to one by intersection over union, and counts; its recognition quality is the F1. surface-distance places
surface elements between the voxels and weighs them by their area, so its surface Dice is ours only where all elements
are within the tolerance, or none, and its Hausdorff distance where masks are shifted copies of a box.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import panoptica
import surface_distance

sys.path.insert(0, str(Path(__file__).parent))
from oracle_shapes import BOXES, IOUS, LESIONS, TOLERANCES_MM

COMMAND = "python tests/evaluation/make_oracle_lesions.py"


def of_panoptica(truth: Any, prediction: Any, iou: float) -> dict[str, float]:
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(),
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=iou),
    )
    found = evaluator.evaluate(prediction.astype(np.uint8), truth.astype(np.uint8), verbose=False)
    result = found["ungrouped"] if isinstance(found, dict) else found
    counts = {"reference": result.n_ref_instances, "predicted": result.n_pred_instances}
    return {
        **{k: int(v) for k, v in counts.items()},
        "matched": int(result.tp),
        "f1": float(result.rq),
    }


def of_surface_distance(
    truth: Any, prediction: Any, spacing: tuple[float, ...]
) -> dict[str, float]:
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing)
    return {
        "dice": float(surface_distance.compute_dice_coefficient(truth, prediction)),
        "hd_mm": float(surface_distance.compute_robust_hausdorff(distances, 100)),
        **{
            f"nsd_{t:g}mm": float(
                surface_distance.compute_surface_dice_at_tolerance(distances, t + 1e-9)
            )
            for t in TOLERANCES_MM
        },
    }


def main() -> None:
    found: dict[str, Any] = {
        "command": COMMAND,
        "versions": {name: version(name) for name in ("panoptica", "surface-distance")},
        "lesions": {
            name: {str(iou): of_panoptica(*make()[:2], iou) for iou in IOUS}
            for name, make in LESIONS.items()
        },
        "elements": {name: of_surface_distance(*make()) for name, make in BOXES.items()},
    }
    path = Path(__file__).with_name("oracle_lesions.json")
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
