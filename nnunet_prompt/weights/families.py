"""The families of models whose weights we take: how each is distinguished from the others, and how its tensors are
named.

nnunet_prompt      ours: prompt input channels, object head and structure heads are kept
nninteractive      nnInteractive: its stem ends with the seven prompt channels, its outputs are background, object
nnssl              nnssl / OpenMind: an encoder, found by the adaptation plan in the checkpoint
multitalent        MultiTalent 2: stems and heads per data set, a trunk as in nnU-Net
totalsegmentator   nnU-Net with trainers of its own, which nobody has to know
nnunet             nnU-Net 2 with any trainer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.json_file import read_json
from nnunet_prompt.networks.provenance import (
    INTERACTIVE_FAMILY,
    UNKNOWN_LICENCE,
    Points,
    points_of,
)
from nnunet_prompt.networks.tensor_names import HEADS, PROVENANCE, SEG_LAYERS
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.weights.nnssl import NNSSL_PLAN, read_nnssl
from nnunet_prompt.weights.source_model import (
    UNET,
    Row,
    SourceFiles,
    SourceModel,
    channels_of,
    find_source,
    origins_of,
    rows_of_labels,
    settings_of,
    stem_name,
    stock_weights,
)
from nnunet_prompt.weights.source_table import default_licence

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

INTERACTIVE_FILES = ("inference_info.json", "inference_session_class.json")
_STEM_OF = re.compile(r"^encoder\.stem\.([^.]+)\.convs\.0\.conv\.weight$")
_HEAD_OF = re.compile(r"^decoder\.seg_layers\.([^.]+)\.\d+\.weight$")


def open_source(path: Path, *, stem: str | None = None, licence: str | None = None) -> SourceModel:
    """The model at `path`, a checkpoint or the folder of a model.

    `stem` chooses among the stems of a multi-stem MultiTalent model. `licence` replaces what is known: the first line
    of a LICENSE file in the model folder, else what `weights.source_table` states of the family. Raises `ModelError`.
    """
    files = find_source(path)
    _refuse_adapters(files)
    family = family_of(files)
    named = (
        licence
        or _licence_file(files)
        or default_licence(family, f"{_dataset(files)}/{files.configuration}")
    )
    try:
        source = _READERS[family](files, stem)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{files.path}: looks like {family}, but not in the form that its trainer saves ({error!r})"
        ) from None
    return _with_origins(source, files, named)


def family_of(files: SourceFiles) -> str:
    """The family that a checkpoint belongs to, "nnunet" where nothing states otherwise."""
    names, trainer = files.weights, files.trainer.lower()
    if NNSSL_PLAN in files.checkpoint:
        return "nnssl"
    if PROVENANCE in names or any(name.startswith(HEADS) for name in names):
        return "nnunet_prompt"
    if trainer.startswith("nninteractive") or (
        files.folder and any((files.folder / f).is_file() for f in INTERACTIVE_FILES)
    ):
        return "nninteractive"
    if "multitalent" in trainer or _members(names, _STEM_OF) or _members(names, _HEAD_OF):
        return "multitalent"
    if re.search(r"_\d+subj$|TotalSegmentator", _dataset(files)):
        return "totalsegmentator"
    return "nnunet"


def adapter_of(files: SourceFiles) -> Mapping[str, Any] | None:
    """The description in the file of a tuning (`networks.adapter_file`); None for every other checkpoint."""
    head = files.checkpoint.get("adapter")
    return head if isinstance(head, Mapping) else None


def stated_licence(folder: Path) -> str:
    """The first line of the LICENSE file in a folder, that it is unknown where there is none."""
    path = folder / "LICENSE"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line), UNKNOWN_LICENCE)


def stems_of(files: SourceFiles) -> list[str]:
    """The names of the stems in a multi-stem model, none for the others."""
    return sorted(_members(files.weights, _STEM_OF))


def _nnunet(files: SourceFiles, stem: str | None) -> SourceModel:
    _no_stems(files, stem)
    return _planned(files, "nnunet", rows=rows_of_labels(files.dataset_json))


def _totalsegmentator(files: SourceFiles, stem: str | None) -> SourceModel:
    _no_stems(files, stem)
    return _planned(files, "totalsegmentator", rows=rows_of_labels(files.dataset_json))


def _nnunet_prompt(files: SourceFiles, stem: str | None) -> SourceModel:
    _no_stems(files, stem)
    rows = {n: Row(r.plus) for n, r in rows_of_labels(files.dataset_json).items()}
    return _planned(
        files,
        "nnunet_prompt",
        prompts=True,
        object_row=Row(0),
        rows=rows,
        points=points_of(files.weights),
    )


def _nninteractive(files: SourceFiles, stem: str | None) -> SourceModel:
    _no_stems(files, stem)
    source = _planned(
        files,
        INTERACTIVE_FAMILY,
        prompts=True,
        object_row=Row(1, 0),
        points=Points(radius=_interactive_radius(files), metric="voxel"),
    )
    heads = source.weights[f"{SEG_LAYERS}0.weight"]
    known = len(source.channel_names) or source.n_image_channels
    if source.n_image_channels != known or known < 1 or heads.shape[0] != 2:
        raise ModelError(
            f"{files.path}: expected the inputs of nnInteractive 1, {known} image channel(s) and {N_PROMPT_CHANNELS}"
            f" prompt channels, and 2 outputs; found {source.weights[source.stem_name].shape[1]} inputs and"
            f" {heads.shape[0]} outputs: another layout of prompts would be read as ours"
        )
    return source


def _multitalent(files: SourceFiles, stem: str | None) -> SourceModel:
    """The trunk of the model, with the chosen stem. Its heads keep no names in the file, apart from one data set's."""
    weights = stock_weights(files)
    stems, members = _members(weights, _STEM_OF), _members(weights, _HEAD_OF)
    if stems and stem is None and len(stems) > 1:
        raise ModelError(
            f"{files.path}: holds a stem for each of {len(stems)} data sets: choose one with --stem, of"
            f" {', '.join(sorted(stems))}"
        )
    if not stems:
        _no_stems(files, stem)
    else:
        chosen = stem or next(iter(stems))
        if chosen not in stems:
            raise ModelError(
                f"{files.path}: no stem {chosen!r}, expected one of {', '.join(sorted(stems))}"
            )
        weights = _one_stem(weights, chosen)
    rows = {} if members else rows_of_labels(files.dataset_json)
    note = f"its heads of {len(members)} data sets carry no structure names" if members else ""
    return _planned(files, "multitalent", weights=weights, rows=rows, note=note)


def _nnssl(files: SourceFiles, stem: str | None) -> SourceModel:
    _no_stems(files, stem)
    return read_nnssl(files)


def _planned(files: SourceFiles, family: str, **what: Any) -> SourceModel:
    """A model that has nnU-Net's plans."""
    if files.plans is None or files.configuration is None:
        raise ModelError(
            f"{files.path}: has no plans: expected init_args in the checkpoint or plans.json in its model folder; give"
            " the checkpoint in the folder it was published in"
        )
    settings = settings_of(files.plans, files.configuration, files.path)
    architecture = settings["architecture"]
    kind = str(architecture["network_class_name"]).rsplit(".", 1)[-1]
    if kind not in ("PlainConvUNet", "ResidualEncoderUNet"):
        raise ModelError(
            f"{files.path}: its network is {kind}, expected PlainConvUNet or ResidualEncoderUNet"
        )
    settings["architecture"] = {**architecture, "network_class_name": UNET + kind}
    weights: dict[str, Tensor] = what.pop("weights", None) or stock_weights(files)
    stem_name(weights)
    return SourceModel(
        path=files.path,
        family=family,
        trainer=files.trainer,
        weights=weights,
        channel_names=channels_of(files.dataset_json),
        plans=files.plans,
        configuration=files.configuration,
        settings=settings,
        **what,
    )


def _with_origins(source: SourceModel, files: SourceFiles, licence: str) -> SourceModel:
    return replace(source, origins=origins_of(files, source.family, licence))


def _licence_file(files: SourceFiles) -> str | None:
    """The first line of the LICENSE file of a model folder, where its owners name the licence."""
    folders = (files.folder or files.path.parent, files.path.parent)
    folder = next((f for f in folders if (f / "LICENSE").is_file()), None)
    return None if folder is None else stated_licence(folder)


def _dataset(files: SourceFiles) -> str:
    pretrained = files.checkpoint.get(NNSSL_PLAN)
    pretrained = pretrained.get("pretrain_plan") if isinstance(pretrained, Mapping) else None
    return str((files.plans or pretrained or {}).get("dataset_name", ""))


def _members(weights: Mapping[str, Any], pattern: re.Pattern[str]) -> set[str]:
    return {match[1] for name in weights if (match := pattern.match(name))} - {"convs"}


def _one_stem(weights: Mapping[str, Tensor], stem: str) -> dict[str, Tensor]:
    """The weights with one of the stems under the names of nnU-Net's only one."""
    plain: dict[str, Tensor] = {}
    for name, value in weights.items():
        before, files, rest = name.partition("encoder.stem.")
        if not files:
            plain[name] = value
        elif rest.startswith(f"{stem}."):
            plain[before + files + rest.removeprefix(f"{stem}.")] = value
        else:
            plain[name] = value
    return plain


def _interactive_radius(files: SourceFiles) -> float:
    """The radius of its points in voxels: nnInteractive's 4, unless its capability file names another."""
    path = (files.folder or files.path.parent) / INTERACTIVE_FILES[0]
    if not path.is_file():
        return Points().radius
    content = read_json(path, ModelError)
    radius = content.get("point_radius") if isinstance(content, dict) else None
    return float(radius) if isinstance(radius, (int, float)) else Points().radius


def _refuse_adapters(files: SourceFiles) -> None:
    head = adapter_of(files)
    if head is not None:
        raise ModelError(
            f"{files.path}: an adapter ({head.get('method', 'unknown')}), which holds only what a tuning changed: make"
            f" a whole model of it first, `nnunet-prompt weights merge BASE {files.path} -o OUT`"
        )


def _no_stems(files: SourceFiles, stem: str | None) -> None:
    if stem is not None:
        raise ModelError(f"{files.path}: has one stem only, so --stem {stem} chooses nothing")


_READERS: dict[str, Callable[[SourceFiles, str | None], SourceModel]] = {
    "nnunet_prompt": _nnunet_prompt,
    "nninteractive": _nninteractive,
    "nnssl": _nnssl,
    "multitalent": _multitalent,
    "totalsegmentator": _totalsegmentator,
    "nnunet": _nnunet,
}
