"""The tasks of the inference benchmark: cases of the real sizes, and the plans that nnU-Net makes for them.

Generated volumes are (posterior, left, superior), files (left, posterior, superior). Spacings and shapes of plans are
in nnU-Net's order, (superior, posterior, left).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness import network_plans

SEED = 20250914
Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Task:
    """A task: its structures with their official values, and one case of `shape` and `spacing_mm` (generated frame).

    The anatomy is generated on a grid coarser by `coarse` and then refined. `plan_spacing`, `patch`, `strides` and
    `kernels` are those of nnU-Net 2.8's planner for the data set (3d_fullres); the CPU gets them by way of
    `nnunet-prompt plan`, or `cpu_patch` where it is given. `voxel_patch` is that of the model without resampling,
    None where nnInteractive is not asked: it takes one channel, and its refinement fails with flat patches. A side runs
    `repeats` times in each of `rounds` processes.
    """

    name: str
    title: str
    dataset_id: int
    values: Mapping[str, int]
    channels: tuple[str, ...]
    shape: Triple
    spacing_mm: Spacing
    coarse: Triple
    plan_spacing: Spacing
    patch: Triple
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    cpu_patch: Triple | None = None
    voxel_patch: Triple | None = None
    repeats: int = 1
    rounds: int = 1
    padded: bool = False
    automatic: bool = False  # structures alone, without prompts

    @property
    def dataset(self) -> str:
        return f"Dataset{self.dataset_id}_{self.name}"


ONE, TWO, FLAT, CUBE = (1, 1, 1), (2, 2, 2), (1, 2, 2), (3, 3, 3)
TASKS = (
    Task(
        "WholeHeart",
        "whole heart, seven labels",
        811,
        {"LV": 500, "RV": 600, "LA": 420, "RA": 550, "myocardium": 205, "AO": 820, "PA": 850},
        ("image",),
        (512, 512, 224),
        (0.5, 0.5, 0.71),
        (2, 2, 2),
        (1.0, 0.8, 0.8),
        (80, 192, 160),
        (ONE, TWO, TWO, TWO, TWO, FLAT),
        (CUBE,) * 6,
        cpu_patch=(64, 128, 128),
        voxel_patch=(96, 112, 112),
        padded=True,
    ),
    Task(
        "ShortAxis",
        "short axis, five labels, three sequences",
        812,
        {"LV": 500, "myocardium": 200, "RV": 600, "edema": 1220, "scar": 2221},
        ("C0", "LGE", "T2"),
        (256, 256, 10),
        (1.4, 1.4, 10.0),
        (1, 1, 1),
        (10.0, 1.4, 1.4),
        (10, 256, 256),
        (ONE, FLAT, FLAT, TWO, FLAT, FLAT, FLAT),
        ((1, 3, 3), (1, 3, 3), *(CUBE,) * 5),
        repeats=3,
        rounds=3,
    ),
    Task(
        "Liver",
        "liver, one label",
        813,
        {"liver": 1},
        ("GED4",),
        (400, 400, 90),
        (0.9375, 0.9375, 2.5),
        (2, 2, 1),
        (2.5, 1.0, 1.0),
        (48, 224, 192),
        (ONE, FLAT, TWO, TWO, TWO, FLAT),
        ((1, 3, 3), *(CUBE,) * 5),
    ),
    Task(
        "LeftAtrium",
        "left atrium, two labels",
        814,
        {"cavity": 420, "scar": 421},
        ("LGE",),
        (576, 576, 44),
        (0.625, 0.625, 2.5),
        (2, 2, 1),
        (2.5, 0.625, 0.625),
        (24, 256, 256),
        (ONE, FLAT, FLAT, TWO, TWO, FLAT, FLAT),
        ((1, 3, 3), (1, 3, 3), *(CUBE,) * 5),
    ),
    Task(
        "Thorax",
        "thorax, fifteen labels",
        815,
        {f"part {k}": k for k in range(1, 16)},
        ("image",),
        (512, 512, 800),
        (0.8, 0.8, 1.0),
        (4, 4, 4),
        (1.5, 1.5, 1.5),
        (128, 128, 128),
        (ONE, TWO, TWO, TWO, TWO, TWO),
        (CUBE,) * 6,
        cpu_patch=(64, 128, 128),
        automatic=True,
    ),
)


def small(task: Task) -> Task:
    """The task with voxels four times as long in the plane (and along the slices where they are thin): a smoke test."""
    through = 4 if task.spacing_mm[2] < 1 else 1
    factors = (4, 4, through)
    a, b, c = (n // f for n, f in zip(task.shape, factors, strict=True))
    x, y, z = (mm * f for mm, f in zip(task.spacing_mm, factors, strict=True))
    first, *others = task.plan_spacing
    patches = {
        key: tuple(
            max(8, n // f // 8 * 8) if n > 10 else n
            for n, f in zip(p, (through, 4, 4), strict=True)
        )
        for key, p in (("patch", task.patch), ("cpu_patch", task.cpu_patch))
        if p is not None
    }
    return replace(
        task,
        shape=(a, b, c),
        spacing_mm=(x, y, z),
        coarse=(1, 1, 1),
        plan_spacing=(first * through, *(mm * 4 for mm in others)),
        voxel_patch=task.voxel_patch and (56, 64, 64),
        **patches,
    )


def plans(task: Task, *, voxels: bool, reduced: bool) -> dict[str, Any]:
    """nnU-Net's plans of a task with its default network; `nnunet-prompt plan` makes the other ones from them."""
    patch = task.patch
    if voxels or reduced:
        patch = (task.voxel_patch if voxels else task.cpu_patch) or task.patch
    if not reduced:  # a patch for the CPU need not fit all strides
        whole = [math.prod(s[axis] for s in task.strides) for axis in range(3)]
        patch = tuple(-(-n // s) * s for n, s in zip(patch, whole, strict=True))
    spacing = [task.spacing_mm[a] for a in (2, 0, 1)] if voxels else task.plan_spacing
    stages, channels = len(task.strides), len(task.channels)
    configuration = {
        "patch_size": list(patch),
        "spacing": list(spacing),
        "normalization_schemes": ["ZScoreNormalization"] * channels,
    }
    for data, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        configuration |= {
            f"resampling_fn_{data}": "resample_data_or_seg_to_shape",
            f"resampling_fn_{data}_kwargs": {
                "is_seg": data == "seg",
                "order": order,
                "order_z": 0,
                "force_separate_z": None,
            },
        }
    widths = {
        "n_stages": stages,
        "features_per_stage": [min(32 * 2**i, 320) for i in range(stages)],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [list(k) for k in task.kernels],
        "strides": [list(s) for s in task.strides],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return network_plans(task.dataset, configuration, network="PlainConvUNet", arguments=widths)


def coarse_shape(task: Task) -> Triple:
    a, b, c = (n // f for n, f in zip(task.shape, task.coarse, strict=True))
    return a, b, c


def coarse_spacing(task: Task) -> Spacing:
    a, b, c = (mm * f for mm, f in zip(task.spacing_mm, task.coarse, strict=True))
    return a, b, c
