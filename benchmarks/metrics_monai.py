"""MONAI's side of `metrics.py`, for a Python of its own: a path per line on stdin, a JSON object per line on stdout."""

from __future__ import annotations

import json
import sys
import time
import warnings

import monai
import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance


def main() -> None:
    """Measures until stdin ends; the first case is measured once before, so that no import is counted."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(json.dumps(monai.__version__), flush=True)
    warm = False
    for line in sys.stdin:
        with np.load(line.strip()) as stored:
            labels = range(int(stored["reference"].max()) + 1)
            truth, prediction = (
                torch.from_numpy(np.stack([stored[name] == k for k in labels])[None])
                for name in ("reference", "prediction")
            )
            spacing = tuple(map(float, stored["spacing"]))
        if not warm:
            measure(truth, prediction, spacing)
            warm = True
        began = time.perf_counter()
        found = measure(truth, prediction, spacing)
        seconds = time.perf_counter() - began
        values = {name: value[0].tolist() for name, value in found.items()}
        print(json.dumps({"seconds": seconds, **values}), flush=True)


def measure(
    truth: torch.Tensor, prediction: torch.Tensor, spacing: tuple[float, ...]
) -> dict[str, torch.Tensor]:
    """Dice and HD95 of each label but the background."""
    return {
        "dice": compute_dice(prediction, truth, include_background=False),
        "hd95_mm": compute_hausdorff_distance(
            prediction, truth, include_background=False, percentile=95, spacing=spacing
        ),
    }


if __name__ == "__main__":
    main()
