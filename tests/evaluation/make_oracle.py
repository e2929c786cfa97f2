"""Makes oracle.json: what MONAI and SimpleITK measure on the pictures of `oracle_shapes`.

    python -m venv oracle && oracle/bin/pip install monai SimpleITK
    oracle/bin/python tests/evaluation/make_oracle.py

Neither library is a dependency, so their values are kept. MONAI takes surfaces, distance maps and percentiles of its
own. Of SimpleITK come the surfaces (BinaryContour) and the distances (SignedMaurerDistanceMap, which is exact); only
the mean, the maximum and the percentile of them are numpy's.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)

sys.path.insert(0, str(Path(__file__).parent))
from oracle_shapes import SHAPES, TOLERANCES_MM


def of_monai(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
    t, p = (torch.from_numpy(m[None, None].astype(bool)) for m in (truth, prediction))
    found = {
        "dice": compute_dice(p, t, include_background=True),
        "hd_mm": compute_hausdorff_distance(p, t, include_background=True, spacing=spacing),
        "hd95_mm": compute_hausdorff_distance(
            p, t, include_background=True, percentile=95, spacing=spacing
        ),
    }
    for tolerance in TOLERANCES_MM:
        found[f"nsd_{tolerance:g}mm"] = compute_surface_dice(
            p, t, [tolerance + 1e-9], include_background=True, spacing=spacing
        )
    directed = [
        compute_average_surface_distance(a, b, include_background=True, spacing=spacing)
        for a, b in ((p, t), (t, p))
    ]
    found["asd_prediction_mm"], found["asd_reference_mm"] = directed
    return {name: float(value) for name, value in found.items()}


def of_simpleitk(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
    images = [sitk.GetImageFromArray(np.pad(m, 1).astype(np.uint8)) for m in (truth, prediction)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    contours = [sitk.BinaryContour(image, fullyConnected=False) for image in images]
    maps = [
        np.abs(
            sitk.GetArrayFromImage(
                sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True)
            )
        )
        for c in contours
    ]
    inside = [sitk.GetArrayFromImage(c) > 0 for c in contours]
    there, back = maps[1][inside[0]], maps[0][inside[1]]
    both = np.concatenate((there, back)).astype(float)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "hd_mm": float(both.max()),
        "hd95_mm": float(max(np.percentile(d.astype(float), 95) for d in (there, back))),
        "assd_mm": float(both.mean()),
        **{f"nsd_{t:g}mm": float((both <= t + 1e-5).mean()) for t in TOLERANCES_MM},
    }


def main() -> None:
    import monai

    warnings.simplefilter("ignore")
    found: dict[str, Any] = {
        "versions": {"monai": monai.__version__, "SimpleITK": sitk.Version.VersionString()},
        "shapes": {},
    }
    for name, make in SHAPES.items():
        truth, prediction, spacing = make()
        found["shapes"][name] = {
            "monai": of_monai(truth, prediction, spacing),
            "SimpleITK": of_simpleitk(truth, prediction, spacing),
        }
    path = Path(__file__).with_name("oracle.json")
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
