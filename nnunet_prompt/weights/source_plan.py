"""Plans for a data set in which another model's weights fit: its network, patch, spacing and normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, ModelError
from nnunet_prompt.data.plans import check_plans_target, preprocessed_folder
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.weights.adapt import image_columns
from nnunet_prompt.weights.families import open_source
from nnunet_prompt.weights.source_model import UNET, SourceModel, channels_of, settings_of
from nnunet_prompt.weights.target import read_planned

# What a configuration takes over from the source, where the source states it.
TAKEN = (
    "spacing",
    "preprocessor_name",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg",
    "resampling_fn_seg_kwargs",
    "resampling_fn_probabilities",
    "resampling_fn_probabilities_kwargs",
)
SMALLEST_BATCH = 2  # nnU-Net's own; the source's patch is often the largest that a GPU holds


@dataclass(frozen=True, slots=True)
class SourcePlanOptions:
    """nnU-Net's plans to start from, the name of those to write, the configuration, the stem of a multi-stem source."""

    base: str = "nnUNetPlans"
    name: str | None = None
    configuration: str = "3d_fullres"
    batch_size: int = SMALLEST_BATCH
    stem: str | None = None


def write_source_plans(
    path: Path, dataset_id: int, *, options: SourcePlanOptions = SourcePlanOptions()
) -> Path:
    """Writes plans beside nnU-Net's plans of a data set and returns their path. Raises `NNUNetPromptError`.

    They hold one configuration: the network, patch, spacing, resampling and normalisation of the model at `path` (with
    its intensity statistics, so that a CT is scaled as the source saw it), and of nnU-Net's plans all the rest. The
    axes are transposed as nnU-Net chose for the data set: like the source's, they begin with the coarsest. For weights
    of nnInteractive they are not transposed and no mask is used to normalise, because its viewers do neither.
    The data have to be preprocessed once more: `nnUNetv2_preprocess -d ID -plans_name NAME -c CONFIGURATION`.
    """
    source = open_source(path, stem=options.stem)
    folder = preprocessed_folder(dataset_id)
    plans = read_planned(folder / f"{options.base}.json", dataset_id)
    channels = channels_of(read_planned(folder / "dataset.json", dataset_id))
    name = options.name or f"nnUNetPlans_{source.family}"
    target = folder / f"{name}.json"
    if Path(name).name != name or name == options.base:
        raise DatasetError(
            f"plans name {name!r}: expected a file name other than {options.base!r}, which is nnU-Net's own"
        )
    base = settings_of(plans, options.configuration, folder / f"{options.base}.json")
    plans = deepcopy(plans)
    plans["plans_name"] = name
    plans["configurations"] = {
        options.configuration: source_configuration(source, base, channels)
        | {
            "data_identifier": f"{name}_{options.configuration}",
            "batch_size": options.batch_size,
        }
    }
    if source.family == "nninteractive":
        plans |= {"transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2]}
        only = plans["configurations"][options.configuration]
        only["use_mask_for_norm"] = [False] * len(only["use_mask_for_norm"])
    intensities = _intensities(source, channels)
    if intensities:
        plans["foreground_intensity_properties_per_channel"] = intensities
    check_plans_target(target)
    write_json(target, plans, indent=4)
    return target


def source_configuration(
    source: SourceModel, base: Mapping[str, Any], channels: Sequence[str]
) -> dict[str, Any]:
    """The configuration `base` of a data set with the source's network and image grid. Raises `ModelError`.

    A source that states no patch size, spacing or normalisation leaves those of `base`.
    """
    settings = source.settings
    if not settings.get("architecture"):
        raise ModelError(f"{source.path}: does not state its architecture, so no plans can be made")
    if len(source.architecture["kernel_sizes"][0]) != len(base["patch_size"]):
        raise ModelError(
            f"{source.path}: is a network in {len(source.architecture['kernel_sizes'][0])} dimensions, expected"
            f" {len(base['patch_size'])} as in the configuration; choose another with -c"
        )
    new = deepcopy(dict(base))
    for stage in ("previous_stage", "next_stage"):
        new.pop(stage, None)
    new["architecture"] = _checked(source)
    new["patch_size"] = list(settings.get("patch_size", base["patch_size"]))
    for key in TAKEN:
        if key in settings:
            new[key] = deepcopy(settings[key])
    columns = image_columns(source.channel_names, channels, source.n_image_channels)
    for key in ("normalization_schemes", "use_mask_for_norm"):
        if settings.get(key):
            if len(settings[key]) <= max(columns):
                raise ModelError(
                    f"{source.path}: its plans have {len(settings[key])} {key}, expected one per image channel"
                )
            new[key] = [settings[key][i] for i in columns]
    return new


def _checked(source: SourceModel) -> dict[str, Any]:
    """The architecture, all of whose classes are torch's: nnU-Net imports by name whatever plans state."""
    architecture: dict[str, Any] = deepcopy(dict(source.settings["architecture"]))
    kwargs = architecture["arch_kwargs"]
    needed = [str(key) for key in architecture.get("_kw_requires_import", ())]
    named = [kwargs[key] for key in needed if kwargs.get(key) is not None]
    foreign = [n for n in named if not str(n).startswith("torch.nn.")]
    if foreign or not str(architecture["network_class_name"]).startswith(UNET):
        raise ModelError(
            f"{source.path}: refused, its plans name the class"
            f" {(foreign or [architecture['network_class_name']])[0]}, expected classes of torch.nn"
        )
    return architecture


def _intensities(source: SourceModel, channels: Sequence[str]) -> dict[str, Any]:
    """The source's intensity statistics for each image channel, {} where it has none."""
    key = "foreground_intensity_properties_per_channel"
    found = source.plans.get(key) or source.plans.get("foreground_intensity_properties_by_modality")
    if not isinstance(found, Mapping):
        return {}
    columns = image_columns(source.channel_names, channels, source.n_image_channels)
    known = {str(i): found[str(c)] for i, c in enumerate(columns) if found.get(str(c))}
    return deepcopy(known) if len(known) == len(columns) else {}
