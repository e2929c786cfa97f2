"""A model as stock nnU-Net runs it: the structure heads, without prompts and without this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt.data.structures import BLOCK, Structure, StructureTable
from nnunet_prompt.inference.model_files import CAPABILITY_KEY
from nnunet_prompt.networks.tensor_names import SEG_LAYERS, stock_names
from nnunet_prompt.weights.export_files import ModelFiles

if TYPE_CHECKING:
    from torch import Tensor

    from nnunet_prompt.inference.model_folder import LoadedModel

TRAINER: Final = "nnUNetTrainer"


def stock_files(model: LoadedModel, configuration: str, folds: Sequence[str]) -> ModelFiles:
    """The folder that `nnUNetv2_predict` runs; `folds` are the names of the folds' folders, in the model's order.

    The prompt input channels of the first convolution are left out, which is the same as prompts that are all zero.
    Where structures are single labels, output 0 is a background of constant zero and output k the head of structure k:
    nnU-Net's argmax finds the most probable structure above one half. Where one structure is a union of labels, heads
    overlap by intention; the model then becomes a region-based one, whose regions stand in the order of the priority,
    because nnU-Net lets a later region overwrite an earlier one.
    """
    from nnunet_prompt.inference.stock_reader import plain_plans

    order = overwriting_order(model.table)
    unions = has_unions(model.table)
    names = stem_names(model)
    heads = [s.label for s in (order if unions else model.table.structures)]
    weights = {
        fold: plain_weights(
            stock_names(one),
            stem=names,
            image_channels=model.n_image_channels,
            heads=heads,
            background=not unions,
        )
        for fold, one in zip(folds, model.weights, strict=True)
    }
    return ModelFiles(
        trainer_name=TRAINER,
        configuration=configuration,
        plans=plain_plans(model.plans.plans),
        dataset_json=plain_dataset_json(model.dataset_json, model.table),
        weights=weights,
        mirror_axes=model.mirror_axes,
        notes=tuple(_notes(model.table)),
        warned=model.table.orientation == "canonical",
    )


def has_unions(table: StructureTable) -> bool:
    return any(len(set(s.members)) > 1 for s in table.structures)


def overwriting_order(table: StructureTable) -> list[Structure]:
    """The structures from the one that yields to all others to the one that yields to none.

    That is the priority backwards; before it come those that it does not name, a whole before its parts.
    """
    rank = {name: len(table.priority) - i for i, name in enumerate(table.priority)}
    return sorted(
        table.structures, key=lambda s: (rank.get(s.name, 0), -len(set(s.members)), s.label)
    )


def stem_names(model: LoadedModel) -> frozenset[str]:
    """Every name under which the network stores the weight of its first convolution."""
    parameters = dict(model.network.named_parameters(remove_duplicate=False))
    first = next(p for p in parameters.values() if p.ndim > 2)  # (outputs, inputs, *kernel)
    return frozenset(name for name, p in parameters.items() if p is first)


def plain_weights(
    weights: dict[str, Tensor],
    *,
    stem: frozenset[str],
    image_channels: int,
    heads: Sequence[int],
    background: bool,
) -> dict[str, Tensor]:
    """Weights by nnU-Net's names without prompt channels, and with the rows `heads` in every head of the decoder.

    A `background` is one more row of zeros, the first.
    """
    import torch

    shared: dict[int, Tensor] = {}  # aliases stay aliases, so the file does not grow

    def changed(name: str, value: Tensor) -> Tensor:
        if name in stem:
            return shared.setdefault(value.data_ptr(), value[:, :image_channels].clone())
        if not name.startswith(SEG_LAYERS):
            return value
        rows = value[list(heads)]
        return torch.cat([torch.zeros_like(value[:1]), rows]) if background else rows

    return {name: changed(name, value) for name, value in weights.items()}


def plain_dataset_json(dataset_json: dict[str, Any], table: StructureTable) -> dict[str, Any]:
    """nnU-Net's own description: our block left out, and unions stated as regions."""
    ours = (BLOCK, CAPABILITY_KEY)
    plain = {key: value for key, value in dataset_json.items() if key not in ours}
    if not has_unions(table):
        return plain
    order = overwriting_order(table)
    regions: dict[str, Any] = {"background": 0}
    for s in order:
        members = sorted(set(s.members))
        regions[s.name] = members if len(members) > 1 else members[0]
    if "ignore" in dataset_json["labels"]:
        regions["ignore"] = dataset_json["labels"]["ignore"]
    return {**plain, "labels": regions, "regions_class_order": [s.label for s in order]}


def _notes(table: StructureTable) -> Iterable[str]:
    if has_unions(table):
        yield (
            "structures are unions of labels, so this is a region-based model; where two structures that the priority"
            " does not name claim a voxel, nnU-Net takes the part before the whole, our predictor the more probable one"
        )
    elif table.priority:
        yield (
            "where two structures claim a voxel, nnU-Net takes the more probable one, our predictor the one that the"
            " priority names first"
        )
    if any(s.official != s.label for s in table.structures):
        official = ", ".join(f"{s.label} for {s.name} ({s.official})" for s in table.structures)
        yield f"masks hold nnU-Net's labels, not the official values: {official}"
    if table.orientation == "canonical":
        yield (
            "the model was trained on images in canonical orientation, as `nnunet-prompt convert` writes them; without"
            " our package nnU-Net reads files as they are stored, and files with other axes get wrong masks: give it"
            " such images, or predict with the model that this was exported from"
        )
