"""Folders: nnU-Net's three, those of the trainers, and the space on their discs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from nnunet_prompt.cli.doctor.check import Check

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
LITTLE, NONE = 2 * 2**30, 100 * 2**20  # bytes


def folders() -> list[Check]:
    """nnU-Net's folders: set, existing and writable. Predicting needs none of them, so unset ones are warnings."""
    return [_folder(variable) for variable in VARIABLES]


def _folder(variable: str) -> Check:
    value = os.environ.get(variable, "").strip()
    if not value:
        advice = f"to train: `export {variable}=FOLDER`; predicting does not need it"
        return Check(variable, "warning", "not set", advice)
    folder = Path(value)
    if not folder.is_dir():
        return Check(variable, "broken", f"{folder}: not a folder", f"run `mkdir -p {folder}`")
    if not os.access(folder, os.W_OK):
        return Check(variable, "warning", f"{folder}: read-only", "training writes there")
    return Check(variable, "ok", f"{folder}: {sum(1 for _ in folder.glob('Dataset*'))} data sets")


def trainers() -> list[Check]:
    """Our trainers, and what else is in the folders of `nnUNet_extTrainer`."""
    from nnunet_prompt.training import external_trainers as extension

    ours = extension.trainers_dir()
    files = extension.trainer_files()
    mine = sorted(name for name, path in files.items() if path.parent == ours)
    found = [Check("trainers", "ok" if mine else "broken", f"{len(mine)} of ours in {ours}")]
    given = os.environ.get(extension.VARIABLE, "").split(os.pathsep)
    for folder in (Path(part) for part in given if part.strip() and Path(part) != ours):
        if not folder.is_dir():
            text = f"{folder} in {extension.VARIABLE}: not a folder"
            found.append(Check("trainers", "broken", text, f"correct {extension.VARIABLE}"))
            continue
        others = sorted(n for n, path in files.items() if folder.resolve() in path.parents)
        found.append(Check("trainers", "ok", f"{', '.join(others) or 'none'} in {folder}"))
    return found


def space() -> list[Check]:
    """What is left on the discs of the temporary folder, of the current one and of nnU-Net's; each disc once."""
    named = {"temporary folder": tempfile.gettempdir(), "current folder": str(Path.cwd())}
    named |= {v: os.environ[v] for v in VARIABLES if os.environ.get(v, "").strip()}
    found, seen = [], set()
    for name, folder in named.items():
        if not Path(folder).is_dir():
            continue  # reported where the folders are
        disc = Path(folder).stat().st_dev
        if disc not in seen:
            seen.add(disc)
            found.append(_space(name, folder))
    return found


def _space(name: str, folder: str) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB left for the {name} ({folder})"
    if free < NONE:
        return Check("disc", "broken", text, "delete something, or set TMPDIR")
    if free < LITTLE:
        return Check("disc", "warning", text, "little for a training")
    return Check("disc", "ok", text)
