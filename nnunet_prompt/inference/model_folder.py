"""Opens a trained model folder: plans.json, dataset.json, prompt_capability.json, fold_X/checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, device, nn

from nnunet_prompt.common.errors import ModelError, raise_system_error
from nnunet_prompt.data.plans_reader import ITK, ImageReader
from nnunet_prompt.data.structures import StructureTable, structures_from_dataset_json
from nnunet_prompt.data.word_bank import find_bank
from nnunet_prompt.inference.folds import Fold, fold_checkpoints, report_folds
from nnunet_prompt.inference.model_files import CAPABILITY_KEY, find_capability
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.with_adapter import with_adapter
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.io.resources import bound_threads, use_huge_pages
from nnunet_prompt.networks.adapter_file import ABOUT
from nnunet_prompt.networks.capability import Capability, capability_from, check_is_model
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import licence_notes, provenance_of
from nnunet_prompt.networks.tensor_names import plain_names

# of a configuration, beside its network
NEEDED = (
    "patch_size",
    "spacing",
    "preprocessor_class",
    "resampling_fn_probabilities",
    "normalization_schemes",
    "use_mask_for_norm",
)
_log = logging.getLogger(__name__)
STATISTICS = "foreground_intensity_properties_per_channel"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network with one set of weights per fold, and all that is needed to use it."""

    network: nn.Module
    weights: tuple[dict[str, Tensor], ...]
    plans: Any
    configuration: Any
    dataset_json: dict[str, Any]
    table: StructureTable
    capability: Capability
    mirror_axes: tuple[int, ...]
    n_image_channels: int
    device: device
    folder: Path = Path("MODEL")
    configuration_name: str = ""
    checkpoint: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the first fold, its weights apart

    @property
    def reader(self) -> ImageReader:
        """How its images are read. Raises `ModelError` for a reader that nnU-Net does not have."""
        return ImageReader(
            str(self.plans.plans.get("image_reader_writer", ITK)),
            self.table.orientation,
            str(self.dataset_json.get("file_ending", ".nii.gz")),
        )


def load_model(folder: Path, options: PredictOptions) -> LoadedModel:
    """Reads a model folder. Raises `ModelError` for anything that is missing, damaged or not ours.

    The network is built by our own class from plans that may name parts of networks only; no trainer is searched for
    and no code is read from files. The folds that are used are logged, and the licence of another model that the
    weights come from.
    """
    check_is_model(folder)
    use_huge_pages()
    plans, dataset_json = (
        read_object(
            folder / name, ModelError, missing="a model folder holds plans.json and dataset.json"
        )
        for name in ("plans.json", "dataset.json")
    )
    folds: dict[Fold, Path] = fold_checkpoints(folder, options.folds, options.checkpoint)
    if options.adapter is None:
        checkpoints = [read_checkpoint(path) for path in folds.values()]
    else:
        tuned = with_adapter(options.adapter, folds)
        folds, checkpoints = {tuned.fold: folds[tuned.fold]}, [tuned.checkpoint]
        dataset_json = tuned.dataset_json
    bank = find_bank(folder, options.word_bank)
    table = replace(structures_from_dataset_json(dataset_json), bank=bank)
    weights = tuple(plain_names(c["network_weights"]) for c in checkpoints)
    try:
        name = checkpoints[0]["init_args"]["configuration"]
        manager, configuration, network, channels = _build(plans, name, dataset_json)
        for one in weights:  # every fold must fit before the first case is read
            network.load_state_dict(one)
    except Exception as error:  # nnU-Net checks nothing, so a wrong file can end in any error
        raise_system_error(error)
        raise ModelError(
            f"{folder}: the checkpoint does not fit its plans.json ({_short(error)})"
        ) from None
    capability = _capability(folder, dataset_json, checkpoints[0], manager, options)
    _check_channels(folder, manager, configuration, channels)
    _log.info("model %s", report_folds(folder, tuple(folds)))
    for line in licence_notes(dict.fromkeys(o for one in weights for o in provenance_of(one))):
        _log.info(line)
    where = _device(options)
    _log.debug("device %s, %s image channels", where, channels)
    axes = checkpoints[0].get("inference_allowed_mirroring_axes") or ()
    model = LoadedModel(
        network=network.to(where).eval(),
        weights=weights,
        plans=manager,
        configuration=configuration,
        dataset_json=dataset_json,
        table=table,
        capability=capability,
        mirror_axes=tuple(int(a) for a in axes) if options.use_mirroring else (),
        n_image_channels=channels,
        device=where,
        folder=folder,
        configuration_name=name,
        checkpoint={k: v for k, v in checkpoints[0].items() if k in ABOUT},
    )
    _ = model.reader  # raises here, not at the first image
    return model


def _capability(
    folder: Path,
    dataset_json: dict[str, Any],
    checkpoint: dict[str, Any],
    manager: Any,
    options: PredictOptions,
) -> Capability:
    """That of the model, or of the adapter, which states its own."""
    if options.adapter is not None and CAPABILITY_KEY in dataset_json:
        return capability_from(dataset_json[CAPABILITY_KEY], str(options.adapter))
    return find_capability(folder, dataset_json, checkpoint, manager)


def _device(options: PredictOptions) -> device:
    """Where to run; from now on with no more threads than the container grants processors."""
    bound_threads()
    return device(options.resolved_device())


def _build(
    plans: dict[str, Any], name: str, dataset_json: dict[str, Any]
) -> tuple[Any, Any, nn.Module, int]:
    """The plans, their configuration of that name, its network without deep supervision, and its image channels."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.inference.stock_reader import read_as_trained
    from nnunet_prompt.networks.network import network_for

    manager = PlansManager(plans)
    configuration = manager.get_configuration(name)
    for needed in NEEDED:
        getattr(configuration, needed)
    read_as_trained(manager)
    network, channels = network_for(manager, configuration, dataset_json, deep_supervision=False)
    return manager, configuration, network, channels


def _check_channels(folder: Path, manager: Any, configuration: Any, channels: int) -> None:
    """nnU-Net looks these up channel by channel, and only when it meets the first case."""
    for key, values in (
        ("normalization_schemes", configuration.normalization_schemes),
        ("use_mask_for_norm", configuration.use_mask_for_norm),
        (STATISTICS, manager.plans.get(STATISTICS, {})),
    ):
        if len(values) != channels:
            raise ModelError(
                f"{folder / 'plans.json'}: {key}: expected one entry for each of the {channels} image channel(s) of"
                f" dataset.json, found {len(values)}; copy both files from the trained model"
            )


def _short(error: Exception) -> str:
    """The message of an error in one line; a `KeyError` is named, because its message is the key alone.

    torch names a weight that does not fit in its second line.
    """
    text = repr(error) if isinstance(error, KeyError) else str(error).strip()
    lines = (text or repr(error)).splitlines()
    return " ".join(line.strip() for line in lines[:2])
