"""How to run a model; what `nnUNetv2_predict` users set with its options."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from nnunet_prompt.common.arguments import (
    as_path,
    finite_number,
    items,
    shown,
    true_or_false,
    whole_number,
)
from nnunet_prompt.common.errors import NNUNetPromptError

MOST = 2**31 - 1  # of anything that is counted here


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Options of the network and of how its answers become masks. Raises `NNUNetPromptError` for values out of range.

    >>> PredictOptions(device="cpu", use_mirroring=False, folds=(0, 1)).step_size
    0.5
    """

    folds: tuple[int | str, ...] | None = None  # None: all that have the checkpoint
    device: str | None = None  # None: CUDA where there is one
    use_mirroring: bool = True  # along the axes of training only
    step_size: float = 0.5  # of the sliding window, as a share of a tile
    checkpoint: str = "checkpoint_final.pth"  # name of the file in each fold
    # "prompted": the fewest tiles that hold the prompts; "full": all that see one
    window: Literal["prompted", "full"] = "prompted"
    grow: bool = True  # add tiles where the mask touches the border
    bfloat16: bool = False  # 16 bits on a CPU that has them: twice as fast, nearly equal
    # without prompts: tiles of a single value (padding, clipped air) are run once, which changes nothing
    skip_single: bool = True
    consistent: bool = True  # masks keep what prompts state, see `inference.consistent`
    # only one component of structures that are one in every training case, see `inference.components`
    one_component: bool = True
    adapter: Path | None = None  # what `nnunet-prompt learn` wrote: its structures, tuned weights
    word_bank: Path | None = None  # paraphrases (`data.word_bank`); None: words.npz of the model

    def __post_init__(self) -> None:
        self._check_types()
        if not 0 < self.step_size <= 1:
            raise NNUNetPromptError(
                f"step size: expected more than 0 and at most 1, found {self.step_size}"
            )
        for name in ("adapter", "word_bank"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_path(name, getattr(self, name)))
        if self.device is not None and not _is_one_of(self.device, ("cpu", "cuda", "mps")):
            raise NNUNetPromptError(
                f"device: expected cpu, cuda or mps, found {shown(self.device)}"
            )
        if not _is_one_of(self.window, ("prompted", "full")):
            raise NNUNetPromptError(
                f"window: expected prompted or full, found {shown(self.window)}"
            )

    def _check_types(self) -> None:
        """Coerces numpy's numbers; what is of another type raises `NNUNetPromptError`."""
        if self.folds is not None:
            object.__setattr__(self, "folds", _folds(self.folds))
        step = finite_number("step size", self.step_size, 0.5)
        object.__setattr__(self, "step_size", step)
        for field in fields(self):
            if field.type == "bool":
                value = true_or_false(field.name, getattr(self, field.name))
                object.__setattr__(self, field.name, value)
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise NNUNetPromptError(
                f"checkpoint: expected a file name, such as checkpoint_best.pth, found {shown(self.checkpoint)}"
            )

    def resolved_device(self) -> str:
        """The device to use. Raises `NNUNetPromptError` where the wanted one is absent."""
        import torch

        available = {
            "cpu": True,
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
        }
        if self.device is None:
            return "cuda" if available["cuda"] else "cpu"
        if not available[self.device]:
            raise NNUNetPromptError(f"device {self.device}: this machine has none; use -device cpu")
        return self.device


def _is_one_of(value: object, allowed: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value in allowed


def _folds(folds: object) -> tuple[int | str, ...]:
    """Folds by number, or "all"; one alone may stand without a list."""
    parts = [folds] if isinstance(folds, (int, str)) else items(folds)
    if not parts:
        raise NNUNetPromptError(
            f"folds: expected numbers or 'all', such as (0, 1), found {shown(folds)}"
        )
    return tuple(part if _is_fold_name(part) else _fold(part) for part in parts)


def _is_fold_name(part: object) -> bool:
    """Folds may be named as their folders are: "0" or "all"."""
    return isinstance(part, str) and (part == "all" or part.isdecimal())


def _fold(part: object) -> int:
    return whole_number("folds", part, lowest=0, highest=MOST, example=0)
