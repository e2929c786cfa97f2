"""Shows what a checkpoint holds, without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.tensor_names import PROVENANCE, SEG_LAYERS
from nnunet_prompt.weights.families import adapter_of, open_source
from nnunet_prompt.weights.source_model import SourceModel, find_source

if TYPE_CHECKING:
    from rich.console import Console


def describe(path: Path) -> dict[str, Any]:
    """The facts of a checkpoint or a model folder by title, in the order they are shown. Raises `ModelError`.

    A checkpoint of an unknown kind has its file, its trainer and the reason instead of the rest; an adapter has what it
    is instead.
    """
    found = find_source(path)
    facts: dict[str, Any] = {"file": str(found.path), "trainer": found.trainer or "not named"}
    try:
        if adapter_of(found) is not None:
            return {**facts, **_adapter_facts(found.path)}
        source = open_source(path, stem=_any_stem(path))
    except ModelError as error:
        return {**facts, "cannot be adapted": str(error)}
    return {**facts, **_facts(source)}


def print_checkpoint(path: Path, console: Console, *, tensors: bool = True) -> None:
    """Prints the facts, and a table of the tensors with the names of one tensor on one row. Raises `ModelError`."""
    from rich.table import Table

    facts = Table(show_header=False, box=None, title=path.name)
    for title, value in describe(path).items():
        facts.add_row(title, str(value))
    console.print(facts)
    if not tensors:
        return
    table = Table(title="tensors")
    for column in ("name", "shape", "type"):
        table.add_column(column, overflow="fold")
    rows = tensor_rows(path)
    for row in rows:
        table.add_row(*row)
    table.caption = f"{len(rows)} tensors"
    console.print(table)


def tensor_rows(path: Path) -> list[tuple[str, str, str]]:
    """Name, shape and type of each tensor; the other names of one tensor follow its first in brackets."""
    groups: dict[tuple[int, int], list[str]] = {}
    weights = find_source(path).weights
    for name, value in weights.items():
        groups.setdefault((value.data_ptr(), value.numel()), []).append(name)
    rows = []
    for first, *others in groups.values():
        value = weights[first]
        title = f"{first} (+{len(others)} names)" if others else first
        shape = " x ".join(map(str, value.shape)) or "number"
        rows.append((title, shape, str(value.dtype).removeprefix("torch.")))
    return rows


def _facts(source: SourceModel) -> dict[str, Any]:
    settings, kwargs = source.settings, source.architecture
    heads = [n for n in source.weights if n.startswith(SEG_LAYERS) and n.endswith(".weight")]
    outputs = int(source.weights[heads[-1]].shape[0]) if heads else 0
    kind = str(settings.get("architecture", {}).get("network_class_name", "unknown"))
    count = len({v.data_ptr(): 0 for v in source.weights.values()})
    voxels = {v.data_ptr(): v.numel() for n, v in source.weights.items() if n != PROVENANCE}
    return {
        "family": source.family,
        "plans": source.plans.get("plans_name", "none"),
        "configuration": source.configuration or "none",
        "architecture": kind.rsplit(".", 1)[-1],
        "features": kwargs.get("features_per_stage", "unknown"),
        "blocks": kwargs.get("n_blocks_per_stage", kwargs.get("n_conv_per_stage", "unknown")),
        "strides": kwargs.get("strides", "unknown"),
        "patch size": settings.get("patch_size", "unknown"),
        "spacing": settings.get("spacing", "unknown"),
        "normalisation": settings.get("normalization_schemes", "unknown"),
        "image channels": ", ".join(source.channel_names) or source.n_image_channels,
        "prompt channels": 7 if source.prompts else 0,
        "outputs": outputs,
        "heads": ", ".join((["object"] if source.object_row else []) + list(source.rows))
        or "not named",
        "licence": "; from: ".join(o.licence for o in source.origins),
        "parameters": f"{sum(voxels.values()):,} in {count} tensors",
        **_expert_facts(source),
        **_support_facts(source),
        **({"note": source.note} if source.note else {}),
    }


def _expert_facts(source: SourceModel) -> dict[str, Any]:
    from nnunet_prompt.networks.experts import expert_options

    found = expert_options(source.weights)
    if found is None:
        return {}
    mixed = "mixed for each image by its statistics"
    return {"experts": f"{found.number} of rank {found.rank} on each convolution, {mixed}"}


def _support_facts(source: SourceModel) -> dict[str, Any]:
    from nnunet_prompt.networks.task_vector import has_task_vectors

    if not has_task_vectors(source.weights):
        return {}
    return {"task vectors": "takes a support set: `nnunet-prompt learn --kind vector`"}


def _adapter_facts(path: Path) -> dict[str, Any]:
    from nnunet_prompt.networks.adapter_file import read_adapter

    adapter = read_adapter(path)
    tuning, tensors = adapter.tuning, adapter.tensors
    rank = f", rank {tuning.rank}, alpha {tuning.alpha:g}" if tuning.method == "lora" else ""
    return {
        "kind": "adapter: what a tuning changed, no whole model (`nnunet-prompt weights merge`)",
        "method": f"{tuning.method}{rank}",
        "base": f"weights with the hash {adapter.base_sha256}",
        "licence": "; from: ".join(o.licence for o in adapter.origins) or "none stated",
        "parameters": f"{sum(t.numel() for t in tensors.values()):,} in {len(tensors)} tensors",
    }


def _any_stem(path: Path) -> str | None:
    """The first stem of a multi-stem model: its facts are the same for all."""
    from nnunet_prompt.weights.families import stems_of

    stems = stems_of(find_source(path))
    return stems[0] if stems else None
