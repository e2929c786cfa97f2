"""What a report and its masks were made by: command, versions, model, hashes and licences."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import ModelError, NNUNetPromptError
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import OWN_LICENCE, provenance_of, sha256_of

PACKAGES = ("nnunetv2", "torch", "numpy", "scipy", "matplotlib")
CHECKPOINT = "checkpoint_final.pth"
ABOVE = 4  # folders above masks in which their model may be
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the colophon; `code` is shown as typed."""

    title: str
    text: str
    code: bool = False


def report_facts(command: str) -> list[Fact]:
    """Command, time and versions of the report itself."""
    versions = [f"nnunet_prompt {__version__}", *_versions(), f"Python {platform.python_version()}"]
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    facts = [Fact("Made", made), Fact("Versions", ", ".join(versions))]
    return [Fact("Command", command, code=True), *facts] if command else facts


def dataset_facts(labels: Path) -> list[Fact]:
    """The data set of the label maps, where its dataset.json is in or above their folder."""
    for folder in (labels, labels.absolute().parent):
        try:
            content = read_object(folder / "dataset.json", ModelError)
        except NNUNetPromptError:
            continue
        licence = content.get("licence", content.get("license"))
        name = content.get("name", folder.name)
        stated = licence if licence else "none stated in its dataset.json"
        return [Fact("Data set", f"{name}; licence: {stated}")]
    return []


def find_model(masks: Path) -> Path | None:
    """The model folder that masks lie in, such as those of a validation; None where they lie elsewhere."""
    parents = [masks.absolute(), *masks.absolute().parents][: ABOVE + 1]
    return next((p for p in parents if (p / "plans.json").is_file() and _folds(p)), None)


def model_facts(model: Path) -> list[Fact]:
    """Trainer, plans and folds of a model folder, the hash of each checkpoint and the licences of its weights.

    What cannot be read is stated as such. Raises `ModelError` for a folder without folds.
    """
    folds = _folds(model)
    if not folds:
        raise ModelError(
            f"{model}: not a model folder: expected plans.json, dataset.json and fold_0/{CHECKPOINT}"
        )
    facts = [Fact("Model", str(model), code=True)]
    for path in folds:
        facts.append(Fact(f"sha256 of {path.parent.name}", sha256_of(path), code=True))
    licences = dict.fromkeys(line for path in folds for line in _licences(path))
    facts += [Fact("Licence of the weights", line) for line in licences]
    return facts + [Fact("Trained on", f.text) for f in dataset_facts(model)]


def _folds(model: Path) -> list[Path]:
    """The checkpoint of each fold: the final one, else the best."""
    found = {path.parent: path for path in sorted(model.glob("fold_*/checkpoint_best.pth"))}
    found |= {path.parent: path for path in sorted(model.glob(f"fold_*/{CHECKPOINT}"))}
    return sorted(found.values())


def _licences(checkpoint: Path) -> Iterator[str]:
    try:
        content = read_checkpoint(checkpoint, mmap=True)
        origins = provenance_of(content["network_weights"])
    except (NNUNetPromptError, KeyError, TypeError) as error:
        _log.warning("%s: its licence is not in the report: %s", checkpoint, error)
        yield f"unknown: {checkpoint.name} cannot be read"
        return
    if not origins:
        yield OWN_LICENCE
    for one in origins:
        yield f"from {one.name} ({one.family}): {one.licence}"


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
