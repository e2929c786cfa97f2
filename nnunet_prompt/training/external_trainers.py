"""How nnU-Net finds our trainers: the environment variable `nnUNet_extTrainer`.

nnU-Net imports every module in the folders that the variable lists until one of them has the trainer it looks for, and
reads the variable only then. It is therefore enough to set it at the start of a command; processes that nnU-Net
starts inherit it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, MutableMapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from nnunet_prompt.common.errors import NNUNetPromptError

VARIABLE = "nnUNet_extTrainer"
_CLASS = re.compile(r"^class (\w*Trainer\w*)\b", re.MULTILINE)

_PURPOSE = {
    "nnUNet_raw": "raw data sets",
    "nnUNet_preprocessed": "preprocessed data sets",
    "nnUNet_results": "trained models",
}


def trainers_dir() -> Path:
    """The folder of our trainers, in an installed wheel as in an editable checkout.

    Raises `NNUNetPromptError` if the package is only on the path but not installed.
    """
    try:
        return Path(str(resources.files("nnunet_prompt.trainers"))).resolve()
    except ModuleNotFoundError as error:
        raise NNUNetPromptError(
            "nnunet_prompt is not installed, so its trainers cannot be found:"
            " run `pip install -e .` in the checkout"
        ) from error


def environment(current: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that make our trainers visible to nnU-Net, given the `current` ones (`os.environ`).

    Our folder comes first, and the folders that the user had follow in their order, so that
    `environment(environment(x)) == environment(x)`. nnU-Net's data folders are the user's and are not touched.
    """
    before = (os.environ if current is None else current).get(VARIABLE, "")
    ours = str(trainers_dir())
    others = [folder for folder in before.split(os.pathsep) if folder.strip() and folder != ours]
    return {VARIABLE: os.pathsep.join([ours, *others])}


def register_trainers(target: MutableMapping[str, str] | None = None) -> None:
    """Puts our trainers in front of `nnUNet_extTrainer` in `target` (`os.environ`), once however often it is called."""
    target = os.environ if target is None else target
    target.update(environment(target))


def trainer_files() -> dict[str, Path]:
    """The file of each trainer that nnU-Net would find: its own, then those of the folders of `nnUNet_extTrainer`.

    Files are read, not imported; so a class that is made in another way than by a `class` statement is not among them.
    """
    spec = find_spec("nnunetv2")
    places = [
        Path(p) / "training" / "nnUNetTrainer"
        for p in (spec and spec.submodule_search_locations) or ()
    ]
    places += [Path(f) for f in environment()[VARIABLE].split(os.pathsep) if Path(f).is_dir()]
    found: dict[str, Path] = {}
    for path in (path for place in places for path in sorted(place.rglob("*.py"))):
        for name in _CLASS.findall(path.read_text(encoding="utf-8", errors="replace")):
            found.setdefault(name, path)
    return found


def shell_exports(variables: Mapping[str, str]) -> str:
    """The lines that `eval "$(nnunet-prompt env)"` executes, quoted for any POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def require_folders(*names: str) -> None:
    """Raises `NNUNetPromptError` if one of nnU-Net's folder variables (`nnUNet_raw`, ...) is not set or is empty."""
    for name in names:
        if not os.environ.get(name, "").strip():
            raise NNUNetPromptError(
                f"{name} is not set: run `export {name}=FOLDER`, the folder for nnU-Net's {_PURPOSE[name]}"
            )
