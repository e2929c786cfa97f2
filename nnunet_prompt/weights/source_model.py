"""The weights of another model: what its tensors and outputs are called, and how it was planned.

Nothing in the files is run: checkpoints are read as data, and no trainer or class that they name is looked up.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import ModelError, raise_system_error
from nnunet_prompt.inference.folds import fold_checkpoints, trained_folds
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import (
    Origin,
    Points,
    exported_origins,
    provenance_of,
    sha256_of,
)
from nnunet_prompt.networks.tensor_names import plain_names, stock_names
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint_final.pth"
NAMES = (CHECKPOINT, "checkpoint_final.safetensors", "model.onnx")
UNET = "dynamic_network_architectures.architectures.unet."


@dataclass(frozen=True, slots=True)
class Row:
    """A logit of a model: its output `plus`, less its output `minus` if there is one."""

    plus: int
    minus: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourceFiles:
    """The files at a path: the checkpoint, and the plans and the description that it holds or that lie beside it."""

    path: Path
    checkpoint: Mapping[str, Any]
    weights: dict[str, Tensor]
    plans: dict[str, Any] | None
    dataset_json: dict[str, Any] | None
    configuration: str | None
    folder: Path | None

    @property
    def trainer(self) -> str:
        return str(self.checkpoint.get("trainer_name", ""))


@dataclass(frozen=True, slots=True, eq=False)
class SourceModel:
    """The weights of a model in nnU-Net's names, and what is known of it."""

    path: Path
    family: str
    trainer: str
    weights: dict[str, Tensor]
    channel_names: tuple[str, ...] = ()
    plans: Mapping[str, Any] = field(default_factory=dict)
    configuration: str = ""
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # in the form of nnU-Net 2.8's plans; {}: unknown
    prompts: bool = False  # the stem ends with our seven prompt input channels
    object_row: Row | None = None  # output for the object that prompts point at
    rows: Mapping[str, Row] = field(default_factory=dict)  # output for each structure, by name
    encoder_only: bool = False  # leave the decoder aside
    note: str = ""  # remark for the report
    origins: tuple[Origin, ...] = ()  # where it comes from, itself first
    points: Points | None = None  # those it was trained with; None: unknown

    @property
    def architecture(self) -> Mapping[str, Any]:
        """The arguments of its network class, {} where they are unknown."""
        kwargs: Mapping[str, Any] = self.settings.get("architecture", {}).get("arch_kwargs", {})
        return kwargs

    @property
    def n_image_channels(self) -> int:
        width = int(self.weights[self.stem_name].shape[1])
        return width - N_PROMPT_CHANNELS if self.prompts else width

    @property
    def stem_name(self) -> str:
        return stem_name(self.weights)


STEMS = ("encoder.stem.convs.0.conv.weight", "encoder.stages.0.0.convs.0.conv.weight")


def stem_name(weights: Mapping[str, Any]) -> str:
    """The tensor that meets the input channels, of a residual or a plain encoder. Raises `ModelError`."""
    for name in STEMS:
        if name in weights:
            return name
    first = ", ".join(list(weights)[:3]) or "nothing"
    raise ModelError(
        f"these weights are not of nnU-Net's U-Nets: expected {' or '.join(STEMS)}, found {first} ...; networks of"
        " other libraries have no place to go"
    )


def find_source(path: Path) -> SourceFiles:
    """The checkpoint at `path`, a file or a folder that holds one. Raises `ModelError`."""
    file = _checkpoint_in(path) if path.is_dir() else path
    checkpoint = read_checkpoint(file, mmap=True)
    arguments = checkpoint.get("init_args")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    folder = next(
        (f for f in (file.parent, file.parent.parent) if (f / "plans.json").is_file()), None
    )
    configuration = arguments.get("configuration", arguments.get("configuration_name"))
    return SourceFiles(
        path=file,
        checkpoint=checkpoint,
        weights=plain_names(checkpoint["network_weights"]),
        plans=_json_like(arguments.get("plans"), folder, "plans.json"),
        dataset_json=_json_like(arguments.get("dataset_json"), folder, "dataset.json"),
        configuration=str(configuration) if configuration is not None else None,
        folder=folder,
    )


def settings_of(plans: Mapping[str, Any], configuration: str, path: Path) -> dict[str, Any]:
    """A configuration of plans of any version of nnU-Net 2, in the form of 2.8. Raises `ModelError`."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the plans are old: they are translated
            manager = PlansManager(deepcopy(dict(plans)))
            settings: dict[str, Any] = manager.get_configuration(configuration).configuration
    except Exception as error:  # nnU-Net checks nothing, so wrong plans can end in any error
        raise_system_error(error)
        raise ModelError(
            f"{path}: its plans do not describe the configuration {configuration!r}"
            f" ({' '.join(str(error).split())})"
        ) from None
    return settings


def rows_of_labels(dataset_json: Mapping[str, Any] | None) -> dict[str, Row]:
    """Which output is which label, in lower case. A class of nnU-Net's softmax is its row less the background's:

    the softmax of the two alone, and positive exactly where the class wins against the background. A region of
    nnU-Net's sigmoid outputs is its row.
    """
    labels = (dataset_json or {}).get("labels")
    if not isinstance(labels, Mapping):
        return {}
    values = {str(k).lower(): v for k, v in labels.items() if str(k).lower() != "ignore"}
    if any(isinstance(v, (list, tuple)) for v in values.values()):
        regions = [k for k, v in values.items() if v != 0 and list(_as_list(v)) != [0]]
        return {name: Row(index) for index, name in enumerate(regions)}
    return {name: Row(int(v), 0) for name, v in values.items() if int(v) != 0}


def channels_of(dataset_json: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names of the image channels; none where they are unknown."""
    described = dataset_json or {}
    names = described.get("channel_names", described.get("modality", {}))
    return tuple(str(n) for n in names.values()) if isinstance(names, Mapping) else ()


def origins_of(files: SourceFiles, family: str, licence: str) -> tuple[Origin, ...]:
    """The model itself and what it was made from; its name is that of its file with the folders that identify it."""
    parts = files.path.parts[-4:] if files.folder else files.path.parts[-1:]
    earlier = (*provenance_of(files.weights), *exported_origins(files.checkpoint))
    return (Origin("/".join(parts), family, licence), *dict.fromkeys(earlier))


def with_hash(source: SourceModel) -> SourceModel:
    """The same, with the hash of its file in its origin."""
    first = replace(source.origins[0], sha256=sha256_of(source.path))
    return replace(source, origins=(first, *source.origins[1:]))


def stock_weights(files: SourceFiles) -> dict[str, Tensor]:
    """The tensors in nnU-Net's names."""
    return stock_names(files.weights)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _checkpoint_in(folder: Path) -> Path:
    files = sorted(p for name in NAMES for p in folder.rglob(name))
    if (folder / "plans.json").is_file():  # copies beside the folds of a model are not meant
        folds = trained_folds(folder, CHECKPOINT)
        files = list(fold_checkpoints(folder, folds, CHECKPOINT).values()) if folds else files
    if len(files) == 1:
        return files[0]
    if not files:
        raise ModelError(f"{folder}: holds no {CHECKPOINT}; give the checkpoint itself")
    names = ", ".join(str(f.relative_to(folder)) for f in files[:5])
    raise ModelError(
        f"{folder}: holds {len(files)} checkpoints ({names}): give the one to start from"
    )


def _json_like(inside: Any, folder: Path | None, name: str) -> dict[str, Any] | None:
    if isinstance(inside, Mapping):
        return dict(inside)
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return None
    return read_object(path, ModelError)
