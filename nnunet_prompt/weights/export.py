"""Exports a trained model: to the viewers that serve nnInteractive's models, or to stock nnU-Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.folds import trained_folds
from nnunet_prompt.io.guard import check_output_folder, model_folders
from nnunet_prompt.weights.export_files import Licence, ModelFiles, refuse_existing, write_model
from nnunet_prompt.weights.onnx_model import write_onnx_model

if TYPE_CHECKING:
    from nnunet_prompt.inference.model_folder import LoadedModel

Format = Literal["nninteractive", "nnunet", "safetensors", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`folds` None takes every fold that has the checkpoint. `licence` is what the owner adds to the sources' own."""

    folds: tuple[int | str, ...] | None = None
    checkpoint: str = "checkpoint_final.pth"
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export: the first line of its LICENSE, and notes for its users, one line each."""

    folder: Path
    licence: str
    notes: tuple[str, ...]


def export_model(
    model: Path,
    target: Path,
    form: Format,
    *,
    options: ExportOptions = ExportOptions(),
) -> Exported:
    """Writes a trained model folder of ours in another form to the new folder `target`.

    "nninteractive" keeps the object head and the prompts, "nnunet" the structure heads without prompts, "safetensors"
    and "onnx" keep everything, as a model folder of ours without a pickle and as one network with its manifest. All
    have the licence of the source weights as the first line of LICENSE. Raises `ModelError` for a model folder that
    cannot be read or that the other side would serve wrongly, and where `target` holds something already.
    """
    from nnunet_prompt.inference.model_folder import load_model
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.networks.provenance import provenance_of
    from nnunet_prompt.networks.task_vector import without_idle_vectors

    check_output_folder(target, (), searched=model_folders(model)[:1])
    refuse_existing(target)
    folds = options.folds or trained_folds(model, options.checkpoint, with_all=True)
    if form in ("nninteractive", "onnx") and len(folds) > 1:
        names = " ".join(str(fold) for fold in folds)
        taker = "nnInteractive runs" if form == "nninteractive" else "an ONNX file holds"
        raise ModelError(f"{model}: has the folds {names}, {taker} one: choose it with -f")
    loaded = load_model(
        model, PredictOptions(folds=folds or None, device="cpu", checkpoint=options.checkpoint)
    )
    if form != "safetensors":
        _refuse_experts(loaded, model, form)
        loaded = replace(loaded, weights=tuple(map(without_idle_vectors, loaded.weights)))
    if form in ("nninteractive", "nnunet"):
        _refuse_adapters(loaded, model)
    files = _files(loaded, form, [f"fold_{fold}" for fold in folds], model)
    origins = tuple(dict.fromkeys(o for one in loaded.weights for o in provenance_of(one)))
    licence = Licence(origins, options.licence)
    if form == "onnx":
        write_onnx_model(target, loaded, files, licence)
    else:
        write_model(target, files, licence)
    return Exported(target, licence.line, files.notes)


def _files(loaded: LoadedModel, form: Format, folds: Sequence[str], where: Path) -> ModelFiles:
    from nnunet_prompt.weights.nninteractive import nninteractive_files
    from nnunet_prompt.weights.own import own_files
    from nnunet_prompt.weights.stock import stock_files

    configuration = _configuration_name(loaded)
    if form == "nninteractive":
        return nninteractive_files(loaded, configuration, where=where)
    if form == "nnunet":
        return stock_files(loaded, configuration, folds)
    return own_files(loaded, configuration, folds)


def _refuse_experts(loaded: LoadedModel, where: Path, form: Format) -> None:
    from nnunet_prompt.networks.experts import expert_options

    if any(expert_options(one) is not None for one in loaded.weights):
        raise ModelError(
            f"{where}: has experts, whose weights depend on the image, so that they cannot be merged into the"
            f" convolutions of {form}: export --format safetensors, or train without experts"
        )


def _refuse_adapters(loaded: LoadedModel, where: Path) -> None:
    """Others build nnU-Net's network from the plans, and take its tensors only."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_prompt.networks.tensor_names import stock_names

    with torch.device("meta"):
        network = nnUNetTrainer.build_network_architecture(
            loaded.plans, loaded.configuration, loaded.n_image_channels, 2, False
        )
    known = network.state_dict()
    strange = [name for one in loaded.weights for name in stock_names(one) if name not in known]
    if strange:
        raise ModelError(
            f"{where}: holds tensors that nnU-Net's network does not have ({strange[0]} ...), such as a spatial"
            " adapter's; others cannot run them, so export a model that was tuned in another way"
        )


def _configuration_name(model: LoadedModel) -> str:
    """The name of the model's configuration in its plans; of two that are alike, either."""
    return next(
        str(name)
        for name in model.plans.available_configurations
        if model.plans.get_configuration(name).configuration == model.configuration.configuration
    )
