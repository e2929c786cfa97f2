"""How to run a model; what `nnUNetv2_predict` users set with its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeVar

from nnunet_prompt.common.arguments import (
    check_type,
    finite_number,
    items,
    shown,
    true_or_false,
    whole_number,
)
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention

Case = TypeVar("Case")
MOST = 2**31 - 1  # of anything that is counted here


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Options of the network and of a run over many cases. Raises `NNUNetPromptError` for values out of range.

    >>> PredictOptions(device="cpu", use_mirroring=False, folds=(0, 1)).step_size
    0.5
    """

    folds: tuple[int | str, ...] | None = None  # None: all that have the checkpoint
    device: str | None = None  # None: CUDA where there is one
    use_mirroring: bool = True  # along the axes of training only
    step_size: float = 0.5  # of the sliding window, as a share of a tile
    checkpoint: str = "checkpoint_final.pth"  # name of the file in each fold
    overwrite: bool = True  # False: existing masks are kept
    # "prompted": the fewest tiles that hold the prompts; "full": all that see one
    window: Literal["prompted", "full"] = "prompted"
    grow: bool = True  # add tiles where the mask touches the border
    num_parts: int = 1  # runs that share one folder
    part_id: int = 0  # number of this run, from 0
    verbose: bool = False  # report the tiles of each case
    dask: str | None = None  # address of a scheduler, or its file; its workers do the cases
    bfloat16: bool = False  # 16 bits on a CPU that has them: twice as fast, nearly equal
    consistent: bool = True  # masks keep what prompts state, see `inference.consistent`
    # only one component of structures that are one in every training case, see `inference.components`
    one_component: bool = True
    whole_names: bool = False  # four digits at the end of a file name belong to the case
    axes: Literal["zyx", "xyz"] | None = None  # of a napari file
    convention: GivenConvention = ALL_OPEN  # of a prompts.json, as far as known

    def __post_init__(self) -> None:
        self._check_types()
        if not 0 < self.step_size <= 1:
            raise NNUNetPromptError(
                f"step size: expected more than 0 and at most 1, found {self.step_size}"
            )
        if self.device is not None and not _is_one_of(self.device, ("cpu", "cuda", "mps")):
            raise NNUNetPromptError(
                f"device: expected cpu, cuda or mps, found {shown(self.device)}"
            )
        if not _is_one_of(self.window, ("prompted", "full")):
            raise NNUNetPromptError(
                f"window: expected prompted or full, found {shown(self.window)}"
            )
        if self.axes is not None and not _is_one_of(self.axes, ("zyx", "xyz")):
            raise NNUNetPromptError(f"axes: expected zyx or xyz, found {shown(self.axes)}")
        check_type("convention", self.convention, GivenConvention, "GivenConvention('yx')")
        if self.num_parts < 1:
            raise NNUNetPromptError(
                f"number of parts: expected a number from 1 up, found {self.num_parts}"
            )
        if not 0 <= self.part_id < self.num_parts:
            raise NNUNetPromptError(
                f"part id: expected a number from 0 to {self.num_parts - 1}, as there are {self.num_parts} part(s)"
                f" (--num-parts), found {self.part_id}"
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
        for name in ("num_parts", "part_id"):
            value = getattr(self, name)
            number = whole_number(name, value, lowest=-MOST, highest=MOST, example=1)
            object.__setattr__(self, name, number)
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise NNUNetPromptError(
                f"checkpoint: expected a file name, such as checkpoint_best.pth, found {shown(self.checkpoint)}"
            )
        if self.dask is not None and not isinstance(self.dask, str):
            raise NNUNetPromptError(
                f"dask: expected the address of a scheduler, such as tcp://node:8786, found {shown(self.dask)}"
            )

    @property
    def overwrites(self) -> bool:
        """Whether masks that are there are made anew; never on a cluster, which cannot distinguish new from old."""
        return self.overwrite and self.dask is None

    def part(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The cases of this part: every `num_parts`-th, from number `part_id` on, as in nnU-Net."""
        return cases[self.part_id :: self.num_parts]

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
