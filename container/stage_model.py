"""Copies what inference reads of a trained model, with a manifest of its hashes: what goes into the image.

    python container/stage_model.py MODEL TARGET

TARGET then holds plans.json, dataset.json, prompt_capability.json (unless dataset.json says the same, as in a model
that nnU-Net installed from a zip), fold_*/checkpoint_final.pth, the licence files and words.npz if there are any, and
model.sha256, in the form of `sha256sum`. The hash of model.sha256 is printed: it names the model.
Needs the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

NEEDED = ("plans.json", "dataset.json", "prompt_capability.json")
CAPABILITY = "prompt_capability"  # .json, and a key of dataset.json
CHECKPOINTS = "fold_*/checkpoint_final.pth"
FOLD = re.compile(r"fold_(all|0|[1-9][0-9]*)")  # not fold_0_old and other copies beside the folds
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")
WORDS = "words.npz"  # a bank of paraphrases
MANIFEST = "model.sha256"


class StageError(Exception):
    """A folder that cannot be staged, in one line."""


def stage(model: Path, target: Path) -> str:
    """Makes `target` anew and returns the SHA-256 of its manifest, which does not depend on where the folders are.

    Everyone may read the copies, whoever may read the originals. Raises `StageError` if a needed file is missing, or
    if `target` holds something else than a staged model.
    """
    needed = [name for name in NEEDED if not (name == f"{CAPABILITY}.json" and _travels(model))]
    folds = [n for n in _found(model, CHECKPOINTS) if FOLD.fullmatch(n.partition("/")[0])]
    names = [*needed, *folds]
    for name in names:
        if not (model / name).is_file():
            raise StageError(
                f"{model / name}: not found; name a trained model, <trainer>__<plans>__<config>"
            )
    if len(names) == len(needed):
        raise StageError(f"{model}: no {CHECKPOINTS} in it; is the training finished?")
    if model.resolve().is_relative_to(target.resolve()):
        raise StageError(f"{target}: is or holds the model {model}; name another folder")
    if target.exists():
        if any(target.iterdir()) and not (target / MANIFEST).is_file():
            raise StageError(f"{target}: holds no staged model; name another folder")
        shutil.rmtree(target)
    target.mkdir(parents=True)
    target.chmod(0o755)
    lines = [
        _copy(model, target, name) for name in sorted({*names, *_found(model, *LICENCES, WORDS)})
    ]
    manifest = target / MANIFEST
    manifest.write_text("".join(lines), encoding="utf-8")
    manifest.chmod(0o644)
    return _sha256(manifest)


def main(argv: list[str] | None = None) -> int:
    """Stages, prints the hash and returns 0, or prints what is wrong and returns 1."""
    parser = argparse.ArgumentParser(
        description="Copies a trained model to where the image takes it from."
    )
    parser.add_argument("model", type=Path, help="trained model: <trainer>__<plans>__<config>")
    parser.add_argument("target", type=Path, help="folder to make")
    args = parser.parse_args(argv)
    try:
        print(stage(args.model, args.target))
    except (StageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _travels(model: Path) -> bool:
    """Whether the capability is in dataset.json alone."""
    if (model / f"{CAPABILITY}.json").is_file():
        return False
    try:
        return CAPABILITY in json.loads((model / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _found(model: Path, *patterns: str) -> list[str]:
    found = [path for pattern in patterns for path in model.glob(pattern) if path.is_file()]
    return sorted(path.relative_to(model).as_posix() for path in found)


def _copy(model: Path, target: Path, name: str) -> str:
    """Copies one file and returns its line of the manifest."""
    copy = target / name
    copy.parent.mkdir(exist_ok=True)
    copy.parent.chmod(0o755)
    shutil.copyfile(model / name, copy)
    copy.chmod(0o644)
    return f"{_sha256(copy)}  {name}\n"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
