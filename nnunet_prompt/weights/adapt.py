"""Makes a start checkpoint for a promptable training from the weights of another model.

Every tensor of the new network is copied, widened or new; the report states which, and what of the source found no use.
`nnUNetv2_train ... -pretrained_weights` takes the result as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.atomic import make_folder, replacing
from nnunet_prompt.io.guard import check_output_file, model_folders_of
from nnunet_prompt.networks.provenance import Points, pack
from nnunet_prompt.networks.tensor_names import HEADS, PROVENANCE, SPATIAL_ADAPTER, stock_name
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.weights.report import Action, AdaptReport, Entry
from nnunet_prompt.weights.source_model import Row, SourceModel, stem_name, with_hash

if TYPE_CHECKING:
    from torch import Tensor

    from nnunet_prompt.weights.target import Target

# Parts of an architecture that the shapes of tensors do not show.
SHAPELESS = ("strides", "norm_op", "norm_op_kwargs", "nonlin", "dropout_op")


def adapt(source: SourceModel, target: Target) -> tuple[dict[str, Tensor], AdaptReport]:
    """The weights of `target`'s network taken from `source`, in the names of our checkpoints, and the report.

    Copied tensors are those of the source, not copies of them; all names of one tensor share it. The prompt channels of
    the first convolution are zero, unless the source has some itself: at the start prompts then change nothing. Image
    columns go by channel name, else in order; extra ones repeat the source's, divided by how often each is used. The
    object head is the source's if it has one, a structure head that of the source's label of the same name
    (`weights.source_model.rows_of_labels`), every other head is newly initialised by nnU-Net. Raises `ModelError` where
    the architectures differ, with what to do about it.
    """
    fresh = target.fresh
    stem = stem_name({stock_name(name): None for name in fresh})
    _refuse_other_architecture(source, target)
    weights: dict[str, Tensor] = {PROVENANCE: pack(source.origins, source.points)}
    entries: list[Entry] = []
    for names in target.aliases:
        value = fresh[names[0]]
        if names[0].startswith(HEADS):
            tensor, entry = _head(names[0], value, source, target)
        elif stem in map(stock_name, names):
            tensor, entry = _stem(names[0], value, source, target)
        else:
            tensor, entry = _trunk(names, value, source, target)
        entries.append(entry)
        weights.update(dict.fromkeys(names, tensor))
    used = {stock_name(name) for name in fresh}
    entries += [
        Entry(name, "unused", tuple(value.shape))
        for name, value in source.weights.items()
        if name not in used
    ]
    report = AdaptReport(source, target.plans_name, tuple(entries), _warnings(source, target))
    return {name: weights[name] for name in fresh}, report


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """The plans and the configuration that will be trained, the stem of a multi-stem source, its licence if stated."""

    plans: str = "nnUNetPlans"
    configuration: str = "3d_fullres"
    stem: str | None = None
    licence: str | None = None


def adapt_checkpoint(
    path: Path, dataset_id: int, output: Path, *, options: AdaptOptions = AdaptOptions()
) -> AdaptReport:
    """Reads the model at `path` and writes `output`, a start checkpoint for the data set's plans.

    Raises `NNUNetPromptError`.

    The data set has been planned by nnU-Net; its images and preprocessed arrays are not needed.
    """
    import torch

    from nnunet_prompt.weights.families import open_source
    from nnunet_prompt.weights.target import open_target

    if output.exists() and path.exists() and output.samefile(path):
        raise ModelError(f"{output}: is the source itself; give another file with -o")
    check_output_file(output, [path, *model_folders_of(path)])
    source = open_source(path, stem=options.stem, licence=options.licence)
    target = open_target(dataset_id, options.plans, options.configuration)
    source = with_hash(source)
    weights, report = adapt(source, target)
    make_folder(output.parent)
    with replacing(output) as partial:
        torch.save(
            {
                "network_weights": weights,
                "init_args": target.init_args(),
                "trainer_name": "nnUNetTrainerPrompt",
            },
            partial,
        )
    return report


def image_columns(source: Sequence[str], target: Sequence[str], n_source: int) -> list[int]:
    """For each image channel of the target the one of the source that it starts from.

    By name where the source names them all, else in order, and round again for extra channels. Raises `ModelError`
    where the target has fewer channels and their names do not show which.
    """
    known = [name.lower() for name in source]
    wanted = [name.lower() for name in target]
    if len(known) == len(set(known)) == n_source and len(wanted) > 0 and set(wanted) <= set(known):
        return [known.index(name) for name in wanted]
    if len(wanted) < n_source:
        raise ModelError(
            f"channel_names: the source takes {n_source} images ({', '.join(source) or 'unnamed'}), the data set has"
            f" {len(wanted)} ({', '.join(target)}): name those of dataset.json as the source does, so that it is"
            " clear which to keep"
        )
    return [i % n_source for i in range(len(wanted))]


def _trunk(
    names: Sequence[str], fresh: Tensor, source: SourceModel, target: Target
) -> tuple[Tensor, Entry]:
    """Any other tensor. Of names that disagree the last counts, as it would if torch loaded the source."""
    present = [name for name in names if name in source.weights]
    if present and source.weights[present[-1]].shape == fresh.shape:
        value = source.weights[present[-1]].to(fresh.dtype)
        return value, Entry(names[0], "copied", tuple(value.shape))
    if not present and source.encoder_only and names[0].startswith("decoder."):
        shape = tuple(fresh.shape)
        return fresh.clone(), Entry(names[0], "new", shape, "nnU-Net's initialisation")
    raise _mismatch(source, target, names[0], present, fresh)


def _stem(name: str, fresh: Tensor, source: SourceModel, target: Target) -> tuple[Tensor, Entry]:
    old = source.weights[_last_stem_name(source)]
    n_source, n_target = source.n_image_channels, len(target.channel_names)
    if old.shape[0] != fresh.shape[0] or old.shape[2:] != fresh.shape[2:]:
        raise _mismatch(source, target, name, [source.stem_name], fresh)
    columns = image_columns(source.channel_names, target.channel_names, n_source)
    new = old.new_zeros(tuple(fresh.shape), dtype=fresh.dtype)
    for column, taken in enumerate(columns):
        new[:, column] = old[:, taken] / columns.count(taken)
    if source.prompts:
        new[:, -N_PROMPT_CHANNELS:] = old[:, -N_PROMPT_CHANNELS:]
        prompts = "prompt channels kept"
    else:
        prompts = "prompt channels zero"
    same = source.prompts and columns == list(range(n_source)) and n_source == n_target
    images = ", ".join(
        f"{channel} from {source.channel_names[i] if i < len(source.channel_names) else i}"
        + (f" / {columns.count(i)}" if columns.count(i) > 1 else "")
        for channel, i in zip(target.channel_names, columns, strict=True)
    )
    entry = Entry(
        name, "copied" if same else "widened", tuple(new.shape), f"image {images}; {prompts}"
    )
    return new, entry


def _last_stem_name(source: SourceModel) -> str:
    """Of the names under which a source stores its stem, the one that torch would load last."""
    name = source.stem_name
    aliases = [
        p + n
        for p in ("", "decoder.")
        for n in (name, name.replace(".conv.weight", ".all_modules.0.weight"))
    ]
    return [a for a in aliases if a in source.weights][-1]


def _head(name: str, fresh: Tensor, source: SourceModel, target: Target) -> tuple[Tensor, Entry]:
    """The output layer of one scale: rows from the source where it has them, the others as nnU-Net starts them."""
    new = fresh.clone()
    old = None if source.encoder_only else source.weights.get(stock_name(name))
    taken: list[str] = []
    if old is not None and old.shape[1:] == fresh.shape[1:]:
        wanted: list[tuple[int, str, Row | None]] = [(0, "object", source.object_row)]
        wanted += [(s.label, s.name, source.rows.get(s.name.lower())) for s in target.structures]
        for index, title, row in wanted:
            if row is None:
                continue
            if max(row.plus, row.minus or 0) >= old.shape[0]:
                raise ModelError(
                    f"{source.path}: its label for {title} is output {row.plus}, but it has {old.shape[0]} outputs"
                )
            new[index] = old[row.plus] - (old[row.minus] if row.minus is not None else 0)
            taken.append(title)
    kind: Action = "copied" if len(taken) == fresh.shape[0] else "widened" if taken else "new"
    fresh_heads = [t for t in ("object", *(s.name for s in target.structures)) if t not in taken]
    said = [f"from the source: {', '.join(taken)}"] if taken else []
    said += [f"newly initialised: {', '.join(fresh_heads)}"] if fresh_heads else []
    return new, Entry(name, kind, tuple(new.shape), "; ".join(said))


def _refuse_other_architecture(source: SourceModel, target: Target) -> None:
    ours = target.architecture
    for key in SHAPELESS:
        if key in source.architecture and key in ours:
            theirs = source.architecture[key]
            if _plain(theirs) != _plain(ours[key]):
                raise _advice(source, target, f"{key} is {theirs} there and {ours[key]} here")


def _plain(value: Any) -> Any:
    """For comparing: tuples as lists, and the last part of a class name."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.rsplit(".", 1)[-1] if isinstance(value, str) else value


def _mismatch(
    source: SourceModel, target: Target, name: str, present: Sequence[str], fresh: Tensor
) -> ModelError:
    found = tuple(source.weights[present[-1]].shape) if present else "missing"
    return _advice(source, target, f"{name} is {found} there and {tuple(fresh.shape)} here")


def _advice(source: SourceModel, target: Target, difference: str) -> ModelError:
    kwargs = source.architecture
    features = kwargs.get("features_per_stage", "unknown")
    return ModelError(
        f"{source.path}: does not fit {target.plans_name}/{target.configuration}: {difference}; the source has features"
        f" {features}: `nnunet-prompt weights plan {source.path} -d {target.dataset_id}` writes plans that fit"
    )


def _warnings(source: SourceModel, target: Target) -> tuple[str, ...]:
    """Reasons why the source's weights are worth less on this data set, although they fit."""
    from nnunet_prompt.networks.experts import expert_options

    said = [source.note] if source.note else []
    if any(name.startswith(SPATIAL_ADAPTER) for name in source.weights):
        said.append(
            "the source has a spatial adapter: it is not carried over, and the finest output layer behind it is"
            " newly initialised; adapt instead the base that it was tuned from, which has the other weights, and tune"
            " again"
        )
    if expert_options(source.weights) is not None:
        said.append(
            "the source has experts, which are mixed for each image: they are not carried over, and the weights without"
            " them answer worse; a trainer with experts begins them anew"
        )
    if source.points not in (None, Points()):
        said.append(
            f"the source knows points as {source.points}: trainings from here draw them so, unless a trainer states"
            " otherwise"
        )
    for key, title in (("spacing", "spacing"), ("normalization_schemes", "normalisation")):
        theirs, ours = source.settings.get(key), target.settings.get(key)
        if theirs and ours and not _alike(theirs, ours):
            said.append(
                f"the source was trained with the {title} {theirs}, these plans have {ours}"
            )
    return tuple(said)


def _alike(a: Sequence[Any], b: Sequence[Any]) -> bool:
    if isinstance(a[0], str):
        return set(a) == set(b)
    return len(a) == len(b) and all(
        math.isclose(x, y, rel_tol=0.05) for x, y in zip(a, b, strict=True)
    )
