"""The families of models whose weights we take: how each is told from the others, and how its tensors are named.

nnunet_prompt      ours: prompt columns, object head and structure heads are kept
nninteractive      nnInteractive: its stem ends with the seven prompt columns, its outputs are background, object
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

from nnunet_prompt.errors import ModelError
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
    Found,
    Row,
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
    of a LICENSE file in the model folder, else what `weights.source_table` says of the family. Raises `ModelError`.
    """
    found = find_source(path)
    _refuse_adapters(found)
    family = family_of(found)
    named = (
        licence
        or _licence_file(found)
        or default_licence(family, f"{_dataset(found)}/{found.configuration}")
    )
    try:
        source = _READERS[family](found, stem)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{found.path}: looks like {family}, but not in the form that its trainer saves ({error!r})"
        ) from None
    return _with_origins(source, found, named)


def family_of(found: Found) -> str:
    """The family that a checkpoint belongs to, "nnunet" where nothing says otherwise."""
    names, trainer = found.weights, found.trainer.lower()
    if NNSSL_PLAN in found.checkpoint:
        return "nnssl"
    if PROVENANCE in names or any(name.startswith(HEADS) for name in names):
        return "nnunet_prompt"
    if trainer.startswith("nninteractive") or (
        found.folder and any((found.folder / f).is_file() for f in INTERACTIVE_FILES)
    ):
        return "nninteractive"
    if "multitalent" in trainer or _members(names, _STEM_OF) or _members(names, _HEAD_OF):
        return "multitalent"
    if re.search(r"_\d+subj$|TotalSegmentator", _dataset(found)):
        return "totalsegmentator"
    return "nnunet"


def adapter_of(found: Found) -> Mapping[str, Any] | None:
    """What the file of a tuning says of itself (`networks.adapter_file`); None for every other checkpoint."""
    head = found.checkpoint.get("adapter")
    return head if isinstance(head, Mapping) else None


def stems_of(found: Found) -> list[str]:
    """The names of the stems of a multi-stem model, none for the others."""
    return sorted(_members(found.weights, _STEM_OF))


def _nnunet(found: Found, stem: str | None) -> SourceModel:
    _no_stems(found, stem)
    return _planned(found, "nnunet", rows=rows_of_labels(found.dataset_json))


def _totalsegmentator(found: Found, stem: str | None) -> SourceModel:
    _no_stems(found, stem)
    return _planned(found, "totalsegmentator", rows=rows_of_labels(found.dataset_json))


def _nnunet_prompt(found: Found, stem: str | None) -> SourceModel:
    _no_stems(found, stem)
    rows = {n: Row(r.plus) for n, r in rows_of_labels(found.dataset_json).items()}
    return _planned(
        found,
        "nnunet_prompt",
        prompts=True,
        object_row=Row(0),
        rows=rows,
        points=points_of(found.weights),
    )


def _nninteractive(found: Found, stem: str | None) -> SourceModel:
    _no_stems(found, stem)
    source = _planned(
        found,
        INTERACTIVE_FAMILY,
        prompts=True,
        object_row=Row(1, 0),
        points=Points(radius=_interactive_radius(found), metric="voxel"),
    )
    heads = source.weights[f"{SEG_LAYERS}0.weight"]
    known = len(source.channel_names) or source.n_image_channels
    if source.n_image_channels != known or known < 1 or heads.shape[0] != 2:
        raise ModelError(
            f"{found.path}: expected the inputs of nnInteractive 1, {known} image channel(s) and {N_PROMPT_CHANNELS}"
            f" prompt channels, and 2 outputs; found {source.weights[source.stem_name].shape[1]} inputs and"
            f" {heads.shape[0]} outputs: another layout of prompts would be read as ours"
        )
    return source


def _multitalent(found: Found, stem: str | None) -> SourceModel:
    """The trunk of the model, with the chosen stem. Its heads keep no names in the file, apart from one data set's."""
    weights = stock_weights(found)
    stems, members = _members(weights, _STEM_OF), _members(weights, _HEAD_OF)
    if stems and stem is None and len(stems) > 1:
        raise ModelError(
            f"{found.path}: holds a stem for each of {len(stems)} data sets: choose one with --stem, of"
            f" {', '.join(sorted(stems))}"
        )
    if not stems:
        _no_stems(found, stem)
    else:
        chosen = stem or next(iter(stems))
        if chosen not in stems:
            raise ModelError(
                f"{found.path}: no stem {chosen!r}, expected one of {', '.join(sorted(stems))}"
            )
        weights = _one_stem(weights, chosen)
    rows = {} if members else rows_of_labels(found.dataset_json)
    note = f"its heads of {len(members)} data sets carry no structure names" if members else ""
    return _planned(found, "multitalent", weights=weights, rows=rows, note=note)


def _nnssl(found: Found, stem: str | None) -> SourceModel:
    _no_stems(found, stem)
    return read_nnssl(found)


def _planned(found: Found, family: str, **what: Any) -> SourceModel:
    """A model that has nnU-Net's plans."""
    if found.plans is None or found.configuration is None:
        raise ModelError(
            f"{found.path}: has no plans: expected init_args in the checkpoint or plans.json in its model folder; give"
            " the checkpoint in the folder it was published in"
        )
    settings = settings_of(found.plans, found.configuration, found.path)
    architecture = settings["architecture"]
    kind = str(architecture["network_class_name"]).rsplit(".", 1)[-1]
    if kind not in ("PlainConvUNet", "ResidualEncoderUNet"):
        raise ModelError(
            f"{found.path}: its network is {kind}, expected PlainConvUNet or ResidualEncoderUNet"
        )
    settings["architecture"] = {**architecture, "network_class_name": UNET + kind}
    weights: dict[str, Tensor] = what.pop("weights", None) or stock_weights(found)
    stem_name(weights)
    return SourceModel(
        path=found.path,
        family=family,
        trainer=found.trainer,
        weights=weights,
        channel_names=channels_of(found.dataset_json),
        plans=found.plans,
        configuration=found.configuration,
        settings=settings,
        **what,
    )


def _with_origins(source: SourceModel, found: Found, licence: str) -> SourceModel:
    return replace(source, origins=origins_of(found, source.family, licence))


def _licence_file(found: Found) -> str | None:
    """The first line of the LICENSE file of a model folder, where its owners name the licence."""
    folders = (found.folder or found.path.parent, found.path.parent)
    path = next((f / "LICENSE" for f in folders if (f / "LICENSE").is_file()), None)
    if path is None:
        return None
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    return next((line for line in lines if line), UNKNOWN_LICENCE)


def _dataset(found: Found) -> str:
    pretrained = found.checkpoint.get(NNSSL_PLAN)
    pretrained = pretrained.get("pretrain_plan") if isinstance(pretrained, Mapping) else None
    return str((found.plans or pretrained or {}).get("dataset_name", ""))


def _members(weights: Mapping[str, Any], pattern: re.Pattern[str]) -> set[str]:
    return {match[1] for name in weights if (match := pattern.match(name))} - {"convs"}


def _one_stem(weights: Mapping[str, Tensor], stem: str) -> dict[str, Tensor]:
    """The weights with one of the stems under the names of nnU-Net's only one."""
    plain: dict[str, Tensor] = {}
    for name, value in weights.items():
        before, found, rest = name.partition("encoder.stem.")
        if not found:
            plain[name] = value
        elif rest.startswith(f"{stem}."):
            plain[before + found + rest.removeprefix(f"{stem}.")] = value
        else:
            plain[name] = value
    return plain


def _interactive_radius(found: Found) -> float:
    """The radius of its points in voxels: nnInteractive's 4, unless its capability file names another."""
    path = (found.folder or found.path.parent) / INTERACTIVE_FILES[0]
    if not path.is_file():
        return Points().radius
    content = read_json(path, ModelError)
    radius = content.get("point_radius") if isinstance(content, dict) else None
    return float(radius) if isinstance(radius, (int, float)) else Points().radius


def _refuse_adapters(found: Found) -> None:
    head = adapter_of(found)
    if head is not None:
        raise ModelError(
            f"{found.path}: an adapter ({head.get('method', 'unknown')}), which holds only what a tuning changed: make"
            f" a whole model of it first, `nnunet-prompt weights merge BASE {found.path} -o OUT`"
        )


def _no_stems(found: Found, stem: str | None) -> None:
    if stem is not None:
        raise ModelError(f"{found.path}: has one stem only, so --stem {stem} chooses nothing")


_READERS: dict[str, Callable[[Found, str | None], SourceModel]] = {
    "nnunet_prompt": _nnunet_prompt,
    "nninteractive": _nninteractive,
    "nnssl": _nnssl,
    "multitalent": _multitalent,
    "totalsegmentator": _totalsegmentator,
    "nnunet": _nnunet,
}
