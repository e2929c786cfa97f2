"""Publishes a model: a folder with a model card, safetensors and nnInteractive's form, and its upload to a hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.networks.provenance import OWN_LICENCE, UNKNOWN_LICENCE, provenance_of
from nnunet_prompt.prompts.channels import CHANNEL_NAMES
from nnunet_prompt.weights.card import Card, read_summaries
from nnunet_prompt.weights.export import ExportOptions, export_model
from nnunet_prompt.weights.export_files import Licence, new_folder, refuse_existing

if TYPE_CHECKING:
    from nnunet_prompt.inference.model_folder import LoadedModel

ID_START: Final = "nnInteractive_"  # nnInteractive lists no other
AS_TRAINED: Final = ExportOptions()
MODELS_FILE: Final = "models.json"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FORBIDS = re.compile(
    r"\bND\b|no[- ]?deriv|all rights reserved|proprietary|confidential|not? (be )?redistribut|no sharing",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Published:
    """The folder, its licence, nnInteractive's id of the model ("" where it cannot serve it), and notes for users."""

    folder: Path
    licence: str
    model_id: str
    notes: tuple[str, ...]


def make_publication(
    model: Path, repo: str, target: Path, *, options: ExportOptions = AS_TRAINED
) -> Published:
    """Writes the new folder `target` of a trained model folder of ours, whole or not at all.

    It holds all chosen folds as safetensors, README.md (the card), LICENSE, and, where nnInteractive can serve the
    model, its form of the first fold below `nnInteractive_NAME` with models.json; a note states why not. Raises
    `ModelError` for a repository name that is not owner/name, a licence that is not stated or forbids it, and a
    capability that disagrees with the network or its plans.
    """
    from nnunet_prompt.inference.folds import trained_folds
    from nnunet_prompt.inference.model_folder import load_model
    from nnunet_prompt.inference.options import PredictOptions

    if not _REPO.fullmatch(repo):
        raise ModelError(f"{repo}: not the name of a repository; expected owner/name")
    refuse_existing(target)
    folds = options.folds or trained_folds(model, options.checkpoint, with_all=True) or None
    given = PredictOptions(folds=folds, device="cpu", checkpoint=options.checkpoint)
    loaded = load_model(model, given)
    origins = tuple(dict.fromkeys(o for one in loaded.weights for o in provenance_of(one)))
    licence = Licence(origins, options.licence)
    _refuse_licence(licence, model)
    for problem in _disagreements(loaded):
        raise ModelError(f"{model}: {problem}; publish the folder as training wrote it")
    with new_folder(target) as folder:
        chosen = ExportOptions(folds, options.checkpoint, options.licence)
        export_model(model, folder, "safetensors", options=chosen)
        model_id, notes = _viewer_form(model, repo, folder, chosen)
        summaries = read_summaries(model, [f"fold_{fold}" for fold in folds or ()])
        card = Card(repo, loaded, licence, summaries, model_id)
        (folder / "README.md").write_text(card.text, encoding="utf-8")
    return Published(target.absolute(), licence.line, model_id, notes)


def upload_folder(folder: Path, repo: str, *, private: bool = False) -> str:
    """Uploads a folder to the hub's repository, which is made where there is none; returns the address of the commit.

    The token is the one that `hf auth login` or HF_TOKEN gives. Raises `ModelError` without huggingface_hub and for
    what the hub refuses.
    """
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ModelError(
            "huggingface_hub: is not installed; pip install 'nnunet-prompt[hub]', or give --dry-run"
        ) from None
    try:
        api = hub.HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Model")
    except Exception as error:  # of the hub's client, of its HTTP library, of the system
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"{repo}: cannot be uploaded ({reason}); {folder} is whole, run `hf upload {repo} {folder}` to try again"
        ) from None
    return str(getattr(commit, "commit_url", commit))


def _refuse_licence(licence: Licence, where: Path) -> None:
    lines = [o.licence for o in licence.origins] + ([licence.given] if licence.given else [])
    unknown = [n for n in lines if n in (UNKNOWN_LICENCE, OWN_LICENCE) or not n.strip()]
    if not lines or unknown:
        raise ModelError(
            f"{where}: its licence is {(unknown or ['not stated'])[0]!r}, expected a licence that allows to publish it;"
            " state yours with --licence, and train from weights whose licence is known"
        )
    for line in lines:
        if _FORBIDS.search(line):
            raise ModelError(
                f"{where}: the licence {line!r} forbids to publish what is made from it; ask its owner"
            )


def _disagreements(model: LoadedModel) -> Iterator[str]:
    """Differences between the capability file and the network and plans that it describes."""
    from nnunet_prompt.networks.network import heard_channels

    capability = model.capability
    spacing = [float(s) for s in model.configuration.spacing]
    if len(spacing) != len(capability.grid_spacing) or not np.allclose(
        spacing, capability.grid_spacing, rtol=1e-3
    ):
        yield f"prompt_capability.json: grid_spacing is {list(capability.grid_spacing)}, plans.json has {spacing}"
    for weights in model.weights:
        model.network.load_state_dict(weights)
        heard = heard_channels(model.network, model.n_image_channels)
        for name, there in zip(CHANNEL_NAMES, heard, strict=True):
            if not there and name not in capability.unsupported:
                yield f"prompt_capability.json: offers {name}, but the network has no weight for that channel"
    names = {s.name for s in model.table.structures}
    strange = [n for n in capability.one_component if n not in names]
    if strange:
        yield f"prompt_capability.json: one_component names {strange[0]}, no structure of dataset.json"


def _viewer_form(
    model: Path, repo: str, folder: Path, options: ExportOptions
) -> tuple[str, tuple[str, ...]]:
    """Writes nnInteractive's form of the first fold and its list; its id, "" where it would serve the model wrongly."""
    name = repo.partition("/")[2]
    model_id = ID_START + name.removeprefix(ID_START)
    first = options.folds[:1] if options.folds else None
    alone = ExportOptions(first, options.checkpoint, options.licence)
    try:
        written = export_model(model, folder / model_id, "nninteractive", options=alone)
    except ModelError as error:
        return "", (f"without nnInteractive's form: {error}",)
    entry = {"id": model_id, "display_name": name, "path": model_id, "default": True}
    write_json(folder / MODELS_FILE, {"schema_version": 1, "models": [entry]}, indent=4)
    return model_id, written.notes
