"""A model folder for others: what is in it, its licence, and how it is written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.atomic import cannot_write, make_folder, partial_name, replacing
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.networks.provenance import UNKNOWN_LICENCE, Origin
from nnunet_prompt.networks.safetensors_file import save_safetensors

if TYPE_CHECKING:
    from torch import Tensor

NOTES_FILE: Final = "HOW_TO_PREDICT.txt"


@dataclass(frozen=True, slots=True, eq=False)
class ModelFiles:
    """A model folder before it is written.

    `weights` has the state dict of each fold by the name of its folder (`fold_0`), `mirror_axes` what nnU-Net may flip
    at inference, `notes` what a user must know, one line each; they stand in the folder, too, if it is `warned`: there
    masks may be wrong without them. `extra` are more JSON files by their names, `copied` files that are taken along as
    they are. Weights are written as `safetensors`, or as nnU-Net's checkpoints.
    """

    trainer_name: str
    configuration: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    weights: Mapping[str, dict[str, Tensor]]
    mirror_axes: tuple[int, ...] = ()
    extra: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warned: bool = False
    safetensors: bool = False
    copied: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Licence:
    """The licences that bind a model: those of the models that its weights come from, and its owner's."""

    origins: tuple[Origin, ...] = ()
    given: str = ""

    @property
    def line(self) -> str:
        """One line: every licence once, the nearest source first. It states where none is known."""
        named = [*(o.licence for o in self.origins), *([self.given] if self.given else [])]
        return " and ".join(dict.fromkeys(" ".join(n.split()) for n in named)) or UNKNOWN_LICENCE

    @property
    def text(self) -> str:
        """The LICENSE file: the line first, because nnInteractive shows only that, then where the weights come from."""
        sources = [
            f"Made from {o.name} ({o.family}), licence: {o.licence}"
            + (f", sha256 {o.sha256}" if o.sha256 else "")
            for o in self.origins
        ]
        return "\n".join([self.line, "", *sources, f"Exported by nnunet_prompt {__version__}.", ""])


def write_model(target: Path, files: ModelFiles, licence: Licence) -> None:
    """Writes the folder beside `target` and renames it, so that `target` is never seen half-written.

    Raises `ModelError` where `target` holds something already.
    """
    import torch

    with new_model_folder(target, files, licence) as folder:
        for fold, weights in files.weights.items():
            (folder / fold).mkdir()
            content = checkpoint_content(files, fold.removeprefix("fold_"), licence.origins)
            content["network_weights"] = weights
            if files.safetensors:
                with replacing(folder / fold / "checkpoint_final.safetensors") as checkpoint:
                    save_safetensors(checkpoint, content)
                continue
            with replacing(folder / fold / "checkpoint_final.pth") as checkpoint:
                torch.save(content, checkpoint)


@contextmanager
def new_model_folder(target: Path, files: ModelFiles, licence: Licence) -> Iterator[Path]:
    """A folder with all but the weights; it becomes `target` when the block ends well. Raises like `write_model`."""
    with new_folder(target) as folder:
        (folder / "LICENSE").write_text(licence.text, encoding="utf-8")
        described = {
            "plans.json": files.plans,
            "dataset.json": files.dataset_json,
            **files.extra,
        }
        for name, content in described.items():
            write_json(folder / name, content)
        for path in files.copied:
            shutil.copyfile(path, folder / path.name)
        if files.warned:
            text = "".join(f"* {note}\n" for note in files.notes)
            (folder / NOTES_FILE).write_text(text, encoding="utf-8")
        yield folder


def refuse_existing(target: Path) -> None:
    """Raises `ModelError` where `target` is a file, or a folder with something in it."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise ModelError(
            f"{target}: exists already; give -o a new folder, or remove this one first"
        )


def checkpoint_content(files: ModelFiles, fold: str, origins: Iterable[Origin]) -> dict[str, Any]:
    """The entries that nnU-Net's predictor and nnInteractive read but for the weights, and the provenance; plain data
    only.
    """
    return {
        "trainer_name": files.trainer_name,
        "init_args": {
            "plans": files.plans,
            "configuration": files.configuration,
            "fold": fold if fold == "all" else int(fold),
            "dataset_json": files.dataset_json,
        },
        "inference_allowed_mirroring_axes": files.mirror_axes or None,
        "provenance": [asdict(origin) for origin in origins],
    }


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`; it becomes `target` when the block ends well and is removed otherwise."""
    refuse_existing(target)
    target = target.absolute()
    partial = partial_name(target)
    make_folder(target.parent)
    try:
        partial.mkdir()
        yield partial
        if target.is_dir():  # empty, and not every system renames over it
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise cannot_write(target, str(error.strerror or error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
