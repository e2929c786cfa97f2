"""Plans derived from nnU-Net's own: reduced ones that train on a CPU, and ones without resampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, OutputError, did_you_mean
from nnunet_prompt.data.planned import plans_of
from nnunet_prompt.data.side_file import patients_of
from nnunet_prompt.data.splits import SPLITS_FILE, patient_folds, write_splits
from nnunet_prompt.io.json_file import read_object, write_json

NNUNET_PLANS = "nnUNetPlans"
NO_RESAMPLING = "nnUNetPromptPlansNoResampling"
_NO_RESAMPLING_FUNCTION = "no_resampling_hack"  # nnU-Net's name; it takes no further arguments


def _check_name(name: str, source: str) -> None:
    if name in ("", source) or Path(name).name != name:
        raise DatasetError(
            f"plans name {name!r}: expected a file name other than {source!r}, from which they are made"
        )


def check_plans_target(path: Path) -> None:
    """Raises `OutputError` where the new plans would replace a file that is none of ours.

    These are the other JSON files of a preprocessed data set, and what nnU-Net planned itself.
    """
    if not path.exists():
        return
    try:
        name = read_object(path, DatasetError).get("plans_name")
        ours = name == path.stem and path.stem != NNUNET_PLANS
    except DatasetError:
        ours = False
    if not ours:
        raise OutputError(
            f"{path}: exists and is not replaced, expected no file or plans made by us: give another name with -o"
        )


@dataclass(frozen=True, slots=True)
class ReduceOptions:
    """`features` per stage, voxels per patch at most, batch size, and the plans to start from and to write.

    Raises `DatasetError` for fewer than three stages: nnU-Net's deep supervision drops the coarsest of its scales and
    would have none left to learn from.
    """

    source: str = NNUNET_PLANS
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
        _check_name(self.name, self.source)


def reduce_plans(dataset_id: int, *, options: ReduceOptions = ReduceOptions()) -> Path:
    """Writes `options.name`.json beside nnU-Net's plans of a data set; both share the preprocessed data.

    Every plain or residual U-Net configuration keeps its spacing and its first strides and kernels, and gets fewer
    and thinner stages and a smaller patch. Where the raw data set knows the patient of each case and there are no
    splits yet, `splits_final.json` is written by patient. Raises `DatasetError` where the data set is not planned yet.
    """

    def change(plans: dict[str, Any]) -> None:
        plans["plans_name"] = options.name
        for configuration in plans["configurations"].values():
            if "architecture" in configuration:
                _reduce(configuration, options)

    return _derive(dataset_id, options.source, options.name, change=change)


def no_resampling_plans(
    dataset_id: int, *, source: str = NNUNET_PLANS, name: str = NO_RESAMPLING
) -> Path:
    """Writes `name`.json beside nnU-Net's plans of a data set: every case keeps its own voxels.

    This is the form that nnInteractive serves: it neither resamples nor transposes an image, and z-scores all of it
    within the box of what is not 0. So the functions that resample are nnU-Net's own that do nothing, the axes stay
    as the reader gives them (transpose_forward 0, 1, 2) and no mask is used for normalisation; the spacing stays the
    median, for the shape of patch and network. Preprocessed data are kept apart from those of `source` by their
    data identifier. Where `source` transposes, patch, spacing, strides and kernels are transposed back, and 2d
    configurations are left out, because they would cut slices along another axis; left out as well are low
    resolutions and cascades, which would hold the same voxels. Splits are written as in `reduce_plans`. Raises
    `DatasetError` where the data set is not planned yet, for an unusable name, and where no configuration is left.
    """
    _check_name(name, source)

    def change(plans: dict[str, Any]) -> None:
        back = [int(axis) for axis in plans["transpose_backward"]]
        every = plans["configurations"]
        plans["configurations"] = _kept(every, flat=back == [0, 1, 2])
        if not plans["configurations"]:
            raise DatasetError(
                f"plans {source} of data set {dataset_id}: none of the configurations {', '.join(every)} can do"
                " without resampling, expected 3d_fullres"
            )
        plans |= {
            "plans_name": name,
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
        }
        for key, configuration in plans["configurations"].items():
            _keep_voxels(configuration, f"{name}_{key}")
            _turn_back(configuration, back)
        for key in ("original_median_spacing_after_transp", "original_median_shape_after_transp"):
            if key in plans:
                plans[key] = [plans[key][axis] for axis in back]

    return _derive(dataset_id, source, name, change=change)


def _derive(
    dataset_id: int, source: str, name: str, *, change: Callable[[dict[str, Any]], None]
) -> Path:
    """Writes the plans `name`, which are the plans `source` after `change` has changed them in place."""
    folder = preprocessed_folder(dataset_id)
    path = folder / f"{source}.json"
    if not path.is_file():
        others = did_you_mean(source, plans_of(folder)) if plans_of(folder) else ""
        raise DatasetError(
            f"{path}: not found; run `nnUNetv2_plan_and_preprocess -d {dataset_id}` first{others}"
        )
    plans = read_object(
        path,
        DatasetError,
        way_out="; expected plans of nnU-Net 2.8: plan again",
        encoding="utf-8-sig",
    )
    try:
        change(plans)
    except DatasetError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DatasetError(f"{path}: not plans of nnU-Net 2.8 ({error!r}); plan again") from error
    target = folder / f"{name}.json"
    check_plans_target(target)
    write_json(target, plans, indent=4)
    _split_by_patient(folder)
    return target


def _kept(configurations: dict[str, Any], *, flat: bool) -> dict[str, Any]:
    """The configurations that make sense without resampling; two-dimensional ones only if `flat`."""

    def makes_sense(name: str) -> bool:
        settings = configurations[name]
        if "previous_stage" in settings or "next_stage" in settings:
            return False
        if len(settings.get("patch_size", (0, 0, 0))) == 2 and not flat:
            return False
        return "inherits_from" not in settings or makes_sense(settings["inherits_from"])

    return {name: settings for name, settings in configurations.items() if makes_sense(name)}


def _keep_voxels(configuration: dict[str, Any], data_identifier: str) -> None:
    """Takes resampling and the mask of the normalisation out of one configuration, in place."""
    if "data_identifier" in configuration:
        configuration["data_identifier"] = data_identifier
    for what in ("data", "seg", "probabilities"):
        if f"resampling_fn_{what}" in configuration:
            configuration[f"resampling_fn_{what}"] = _NO_RESAMPLING_FUNCTION
            configuration[f"resampling_fn_{what}_kwargs"] = {}
    if "use_mask_for_norm" in configuration:
        configuration["use_mask_for_norm"] = [False] * len(configuration["use_mask_for_norm"])


def _turn_back(configuration: dict[str, Any], back: Sequence[int]) -> None:
    """Puts everything that one configuration states per axis into the reader's order, in place."""
    for key in ("patch_size", "spacing", "median_image_size_in_voxels"):
        if len(configuration.get(key, ())) == 3:
            configuration[key] = [configuration[key][axis] for axis in back]
    network = configuration.get("architecture", {}).get("arch_kwargs", {})
    for key in ("strides", "kernel_sizes"):
        network |= {key: [_turned(stage, back) for stage in network[key]]} if key in network else {}


def _turned(stage: Any, back: Sequence[int]) -> Any:
    return [stage[axis] for axis in back] if isinstance(stage, list) and len(stage) == 3 else stage


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

    splits = folder / SPLITS_FILE
    if splits.exists() or not nnUNet_raw.is_set():
        return
    folds = patient_folds(patients_of(Path(nnUNet_raw.get()) / folder.name))
    if folds:  # a single patient cannot be split; nnU-Net then does as it likes
        write_splits(splits, folds)


def preprocessed_root() -> Path:
    """The folder named by nnUNet_preprocessed. Raises `DatasetError` when it is not set."""
    from nnunetv2.paths import nnUNet_preprocessed

    if not nnUNet_preprocessed.is_set():
        raise DatasetError(
            "environment variable nnUNet_preprocessed is not set: it names the folder of preprocessed data"
        )
    return Path(nnUNet_preprocessed.get())


def preprocessed_folder(dataset_id: int) -> Path:
    """The folder of a planned data set. Raises `DatasetError` where there is none, or more than one."""
    root = preprocessed_root()
    known = {path.name: path for path in sorted(root.glob("Dataset*")) if path.is_dir()}
    found = [path for name, path in known.items() if name.startswith(f"Dataset{dataset_id:03d}_")]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DatasetError(
            f"{root}: expected one folder Dataset{dataset_id:03d}_..., found {len(found)}: {names}; move others away"
        )
    if not found:
        others = f"; there are {', '.join(known)}" if known else ""
        raise DatasetError(
            f"{root}: expected one folder Dataset{dataset_id:03d}_..., found 0;"
            f" run `nnUNetv2_plan_and_preprocess -d {dataset_id}` first{others}"
        )
    return found[0]
