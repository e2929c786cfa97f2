"""The conventions of the metrics, as metrics.json states them, so that a number is never compared with another kind."""

from __future__ import annotations

from nnunet_prompt.evaluation.options import Measures

SURFACE = "voxels with a face neighbour outside the mask, beyond the image included; an axis of one voxel is left out"


def conventions(measures: Measures) -> dict[str, str | float | list[float]]:
    """What the metrics count, between what they measure, and what is done about empty masks."""
    return {
        "surface": SURFACE,
        "distances": "between voxel centres, in mm, not weighted by surface area",
        "hd95_mm": "the larger of the two directed 95th percentiles, linear interpolation (not pooled)",
        "assd_mm": "the mean of the distances of both directions taken together",
        "nsd": "share of the surface voxels of both masks at a distance of the tolerance or less (and 1e-9 mm)",
        "tolerances_mm": list(measures.tolerances_mm),
        "volume_error": "(predicted - reference) / reference, signed; undefined without reference voxels",
        "abs_volume_error_ml": "|predicted - reference| in mL",
        "sensitivity": "true positives / reference; undefined without reference voxels",
        "precision": "true positives / predicted; undefined without predicted voxels",
        "empty": "both masks empty: all undefined (null); one empty: Dice and surface Dice 0, distances the diagonal"
        " of the image",
        "weighted": "mean over the labels of a case, each weighted by its volume in the reference and in the prediction"
        " together; of Dice it is 2 sum |T and P| / sum (|T| + |P|); unions are left out",
        "lesions": "connected components (26 neighbours, 8 in 2D), matched one to one by the largest intersection over"
        " union; F1 = 2 matched / (reference + predicted)",
        "lesion_iou": measures.lesion_iou,
    }
