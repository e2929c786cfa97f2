"""A reduced plan, small enough to train on a CPU, beside nnU-Net's own."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.data.nifti import replacing
from nnunet_prompt.data.raw import patients_of, write_splits
from nnunet_prompt.errors import DatasetError


@dataclass(frozen=True, slots=True)
class ReduceOptions:
    """`features` per stage, voxels per patch at most, batch size, and the plans to start from and to write.

    Raises `DatasetError` for fewer than three stages: nnU-Net's deep supervision drops the coarsest of its scales and
    would have none left to learn from.
    """

    source: str = "nnUNetPlans"
    name: str = "nnUNetPromptCPUPlans"
    features: tuple[int, ...] = (8, 16, 32, 64)
    batch_size: int = 2
    max_voxels: int = 64 * 64 * 64

    def __post_init__(self) -> None:
        if len(self.features) < 3 or min(self.features) < 1:
            raise DatasetError(
                f"features: expected at least three numbers from 1 on, one per stage, found {list(self.features)}"
            )
        if self.batch_size < 1 or self.max_voxels < 1:
            raise DatasetError(
                f"batch size and voxels per patch: expected at least 1, found {self.batch_size} and {self.max_voxels}"
            )
        if self.name in ("", self.source) or Path(self.name).name != self.name:
            raise DatasetError(
                f"plans name {self.name!r}: expected a file name other than {self.source!r}, which is nnU-Net's own"
            )


def reduce_plans(dataset_id: int, *, options: ReduceOptions = ReduceOptions()) -> Path:
    """Writes `options.name`.json beside nnU-Net's plans of a data set; both share the preprocessed data.

    Every plain or residual U-Net configuration keeps its spacing and its first strides and kernels, and gets fewer
    and thinner stages and a smaller patch. Where the raw data set knows the patient of each case and there are no
    splits yet, `splits_final.json` is written by patient. Raises `DatasetError` where the data set is not planned yet.
    """
    folder = preprocessed_folder(dataset_id)
    source = folder / f"{options.source}.json"
    if not source.is_file():
        raise DatasetError(
            f"{source}: not found; run `nnUNetv2_plan_and_preprocess -d {dataset_id}` first"
        )
    try:
        plans = json.loads(source.read_text())
        plans["plans_name"] = options.name
        for configuration in plans["configurations"].values():
            if "architecture" in configuration:
                _reduce(configuration, options)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{source}: not plans of nnU-Net 2.8 ({error!r}); plan again") from error
    target = folder / f"{options.name}.json"
    with replacing(target) as partial:
        partial.write_text(json.dumps(plans, indent=4) + "\n")
    _split_by_patient(folder)
    return target


def _reduce(configuration: dict[str, Any], options: ReduceOptions) -> None:
    """Changes one configuration in place."""
    architecture = configuration["architecture"]["arch_kwargs"]
    stages = min(len(options.features), int(architecture["n_stages"]))
    strides: list[list[int]] = architecture["strides"][:stages]
    architecture["n_stages"] = stages
    architecture["features_per_stage"] = list(options.features[:stages])
    for key in ("strides", "kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage"):
        if key in architecture:
            architecture[key] = deepcopy(architecture[key][:stages])
    if "n_conv_per_stage_decoder" in architecture:
        architecture["n_conv_per_stage_decoder"] = architecture["n_conv_per_stage_decoder"][
            : stages - 1
        ]
    configuration["batch_size"] = options.batch_size
    configuration["patch_size"] = _patch_size(
        configuration["patch_size"], strides, options.max_voxels
    )


def _patch_size(
    patch: Sequence[int], strides: Sequence[Sequence[int]], max_voxels: int
) -> list[int]:
    """The largest patch of at most `max_voxels` that the strides divide, shrunk along its longest axis first."""
    step = [math.prod(s[axis] for s in strides) for axis in range(len(patch))]
    size = [max(d, n - n % d) for n, d in zip(patch, step, strict=True)]
    while math.prod(size) > max_voxels:
        axis = max(
            (a for a in range(len(size)) if size[a] > step[a]), key=lambda a: size[a], default=-1
        )
        if axis < 0:
            break
        size[axis] -= step[axis]
    return size


def _split_by_patient(folder: Path) -> None:
    """nnU-Net's own splits know cases only: two phases of one heart would stand on both sides."""
    from nnunetv2.paths import nnUNet_raw

    splits = folder / "splits_final.json"
    if splits.exists() or not nnUNet_raw.is_set():
        return
    patients = patients_of(Path(nnUNet_raw.get()) / folder.name)
    folds = min(5, len(set(patients.values())))
    if folds > 1:  # a single patient cannot be split; nnU-Net then does as it likes
        write_splits(splits, patients, folds=folds)


def preprocessed_folder(dataset_id: int) -> Path:
    from nnunetv2.paths import nnUNet_preprocessed

    if not nnUNet_preprocessed.is_set():
        raise DatasetError(
            "environment variable nnUNet_preprocessed is not set: it names the folder of preprocessed data"
        )
    root = Path(nnUNet_preprocessed.get())
    found = sorted(root.glob(f"Dataset{dataset_id:03d}_*"))
    if len(found) != 1:
        raise DatasetError(
            f"{root}: expected one folder Dataset{dataset_id:03d}_..., found {len(found)};"
            f" run `nnUNetv2_plan_and_preprocess -d {dataset_id}` first"
        )
    return found[0]
