"""Generates the cases of the inference benchmark, in the frame (posterior, left, superior)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from harness import Array

from inference.tasks import Spacing, Task, Triple, coarse_shape, coarse_spacing

Painted = tuple[Array, Array, list[Mapping[int, float]], Any]  # labels, tissues, contrasts, site


def draw(task: Task, rng: np.random.Generator) -> tuple[Array, Array]:
    """Labels (official values) and images (C, ...) of one case in the generated frame, on its coarse grid."""
    from nnunet_prompt.phantom.scanner import scan

    shape = coarse_shape(task)
    labels, tissue, contrasts, site = PAINTERS[task.name](rng, shape, coarse_spacing(task))
    images = [scan(rng, tissue, contrast, site) for contrast in contrasts]
    return labels.astype(np.uint16), np.stack(images).astype(np.float32)


def refine(
    task: Task, labels: Array, images: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The same case on the grid of its files: labels repeated, images smoothed between, with a little more noise."""
    from scipy.ndimage import uniform_filter

    fine = np.empty((len(images), *task.shape), np.float32)
    for target, image in zip(fine, images, strict=True):
        target[...] = repeat(image, task.coarse)
        if max(task.coarse) > 1:
            uniform_filter(target, [2 * f - 1 for f in task.coarse], output=target)
        target += rng.standard_normal(task.shape, np.float32) * (0.02 * float(image.std()))
    return repeat(labels, task.coarse), np.clip(fine, 1, None)  # 0 would be outside of the image


def repeat(array: Array, factors: Triple) -> Array:
    for axis, factor in enumerate(factors):
        if factor > 1:
            array = array.repeat(factor, axis)
    return array


def _heart(rng: np.random.Generator, shape: Triple, spacing: Spacing) -> Painted:
    from nnunet_prompt.phantom.whole_heart import whole_heart
    from nnunet_prompt.phantom.whs import SITES

    labels, tissue = whole_heart(rng, shape, spacing)
    return labels, tissue, [SITES["E"].contrast[""]], SITES["E"]


def _short_axis(rng: np.random.Generator, shape: Triple, spacing: Spacing) -> Painted:
    from scipy.ndimage import distance_transform_edt

    from nnunet_prompt.phantom.anatomy import Tissue, draw_anatomy, paint
    from nnunet_prompt.phantom.myops import EDEMA, MYOCARDIUM, SCAR, SITES
    from nnunet_prompt.phantom.scanner import positions

    row, column, through = positions(shape, spacing)
    places = [np.broadcast_to(p, shape) for p in (row, column, through - through.min())]
    labels = tissue = np.zeros(shape, np.uint8)
    while not (labels == SCAR).any():  # some hearts have none
        heart = draw_anatomy(rng, depth_mm=shape[2] * spacing[2])
        labels, tissue = paint(rng, heart, (places[0], places[1], places[2]))
    away = distance_transform_edt(labels != SCAR, (spacing[0], spacing[1], 12.0))
    edema = (labels == MYOCARDIUM) & (away < 10)
    labels[edema], tissue[edema] = EDEMA, Tissue.EDEMA
    contrasts = [SITES["B"].contrast[s] for s in ("C0", "LGE", "T2")]
    return labels, tissue, contrasts, SITES["B"]


def _liver(rng: np.random.Generator, shape: Triple, spacing: Spacing) -> Painted:
    from nnunet_prompt.phantom.liver_anatomy import draw_abdomen, paint_abdomen
    from nnunet_prompt.phantom.liver_scanner import SITES

    abdomen = draw_abdomen(rng, stage=2)
    liver, tissue = paint_abdomen(abdomen, shape=shape, spacing_mm=spacing, shift_mm=(0, 0, 0))
    return liver, tissue, [SITES["A"].contrast["GED4"]], SITES["A"]


def _atrium(rng: np.random.Generator, shape: Triple, spacing: Spacing) -> Painted:
    from nnunet_prompt.phantom.atrium_anatomy import draw_atrium, paint_atrium
    from nnunet_prompt.phantom.lascarqs import SITES

    painted = paint_atrium(draw_atrium(rng), shape=shape, spacing_mm=spacing)
    labels = np.where(painted.scar, 421, 420 * painted.cavity)
    return labels, painted.tissue, [SITES["A"].contrast["LGE"]], SITES["A"]


def _thorax(rng: np.random.Generator, shape: Triple, spacing: Spacing) -> Painted:
    """Fifteen ellipsoids of their own brightness in three columns of a trunk; this task is about memory."""
    from nnunet_prompt.phantom.scanner import positions
    from nnunet_prompt.phantom.whs import SITES

    places = positions(shape, spacing)
    half = [n * mm / 2 for n, mm in zip(shape, spacing, strict=True)]

    def inside(centre: Sequence[float], radii: Sequence[float]) -> Array:
        scaled = [(p - c) / r for p, c, r in zip(places, centre, radii, strict=True)]
        return scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2 < 1

    tissue = np.zeros(shape, np.uint8)
    tissue[inside((0, 0, 0), (0.7 * half[0], 0.9 * half[1], 3 * half[2]))] = 16
    for k in range(15):
        column, level = k % 3 - 1, k // 3 - 2
        centre = (rng.uniform(-0.1, 0.1) * half[0], 0.5 * column * half[1], 0.38 * level * half[2])
        radii = [
            share * h * rng.uniform(0.8, 1) for share, h in zip((0.3, 0.2, 0.15), half, strict=True)
        ]
        tissue[inside(centre, radii)] = k + 1
    labels = np.where(tissue == 16, 0, tissue)
    contrast = {0: 0.02, 16: 0.3, **{k: 0.4 + 0.04 * k for k in range(1, 16)}}
    return labels, tissue, [contrast], SITES["E"]


PAINTERS: Mapping[str, Callable[[np.random.Generator, Triple, Spacing], Painted]] = {
    "WholeHeart": _heart,
    "ShortAxis": _short_axis,
    "Liver": _liver,
    "LeftAtrium": _atrium,
    "Thorax": _thorax,
}
