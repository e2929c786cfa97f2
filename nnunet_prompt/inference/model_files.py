"""The files that our training adds to nnU-Net's model folder, and how they are found where only nnU-Net's files came.

    prompt_capability.json   what the model answers to
    dataset.json             the same under "prompt_capability"; nnU-Net keeps a copy in every checkpoint
    plans.json               whether the data set is canonical, for stock `nnUNetv2_predict` (`stock_reader`)

`nnUNetv2_export_model_to_zip` takes nnU-Net's own files only, so what stands in them arrives everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.structures import Orientation
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.networks.capability import (
    CAPABILITY_FILE,
    Capability,
    capability_from,
    capability_to_json,
    read_capability,
    write_capability,
)

CAPABILITY_KEY = "prompt_capability"  # in dataset.json


def describe_model(
    folder: Path,
    capability: Capability,
    *,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    orientation: Orientation,
) -> None:
    """Writes our part of a model folder. Changes `dataset_json` in place: nnU-Net saves it in its checkpoints."""
    from nnunet_prompt.inference.stock_reader import canonical_plans

    write_capability(folder, capability)
    dataset_json[CAPABILITY_KEY] = capability_to_json(capability)
    write_json(folder / "dataset.json", dataset_json, indent=4)
    if orientation == "canonical":
        write_json(folder / "plans.json", canonical_plans(plans), indent=4)


def find_capability(
    folder: Path, dataset_json: Mapping[str, Any], checkpoint: Mapping[str, Any], plans: Any
) -> Capability:
    """The capability of a model: of its own file, else of `dataset.json`, else of the checkpoint.

    Checkpoints of our first trainings state no more than how points were drawn; the rest follows from the plans, a
    `PlansManager`. Raises `ModelError` where there is none at all.
    """
    if (folder / CAPABILITY_FILE).exists():
        return read_capability(folder)
    if CAPABILITY_KEY in dataset_json:
        where = f"{folder / 'dataset.json'}: {CAPABILITY_KEY}"
        return capability_from(dataset_json[CAPABILITY_KEY], where)
    arguments = checkpoint.get("init_args")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    described = arguments.get("dataset_json")
    if isinstance(described, Mapping) and CAPABILITY_KEY in described:
        return capability_from(described[CAPABILITY_KEY], f"{folder}: {CAPABILITY_KEY}")
    found = _of_points(checkpoint, plans, arguments.get("configuration"))
    return read_capability(folder) if found is None else found  # which raises


def _of_points(checkpoint: Mapping[str, Any], plans: Any, configuration: Any) -> Capability | None:
    from nnunet_prompt.networks.provenance import points_of

    points = points_of(checkpoint["network_weights"])
    if points is None:
        return None
    try:
        spacing = plans.get_configuration(configuration).spacing
        return Capability(
            point_shape=points.shape,
            point_radius=points.radius,
            point_metric=points.metric,
            grid_spacing=tuple(float(s) for s in spacing),
            slice_axis=list(plans.transpose_forward).index(0),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"plans.json: does not describe the checkpoint ({error!r})") from None
