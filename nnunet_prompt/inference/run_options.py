"""How a run goes over the cases of a folder; which files it takes, and which it leaves to other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from nnunet_prompt.common.arguments import as_path, check_type, shown, true_or_false, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention

Case = TypeVar("Case")
MOST = 2**31 - 1  # parts


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of `predict_folder` besides those of the network. Raises `NNUNetPromptError` for values out of range.

    >>> RunOptions(num_parts=2, part_id=1).part("abcde")
    'bd'
    """

    overwrite: bool = True  # False: existing masks are kept
    num_parts: int = 1  # runs that share one folder
    part_id: int = 0  # number of this run, from 0
    verbose: bool = False  # report the tiles of each case
    dask: str | None = None  # address of a scheduler, or its file; its workers do the cases
    probabilities: bool = False  # write those of each structure or label beside the masks, too
    uncertainty: bool = False  # write how unsure the support set is, too (`inference.disagreement`)
    monitor: Path | None = None  # CSV file that gets a row per case and structure
    whole_names: bool = False  # four digits at the end of a file name belong to the case
    axes: Literal["zyx", "xyz"] | None = None  # of a napari file
    convention: GivenConvention = ALL_OPEN  # of a prompts.json, as far as known

    def __post_init__(self) -> None:
        self._check_types()
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
        for name in ("overwrite", "verbose", "probabilities", "uncertainty", "whole_names"):
            object.__setattr__(self, name, true_or_false(name, getattr(self, name)))
        for name in ("num_parts", "part_id"):
            value = getattr(self, name)
            number = whole_number(name, value, lowest=-MOST, highest=MOST, example=1)
            object.__setattr__(self, name, number)
        if self.dask is not None and not isinstance(self.dask, str):
            raise NNUNetPromptError(
                f"dask: expected the address of a scheduler, such as tcp://node:8786, found {shown(self.dask)}"
            )
        if self.axes is not None and (
            not isinstance(self.axes, str) or self.axes not in ("zyx", "xyz")
        ):
            raise NNUNetPromptError(f"axes: expected zyx or xyz, found {shown(self.axes)}")
        if self.monitor is not None:
            object.__setattr__(self, "monitor", as_path("monitor", self.monitor))
            if self.dask is not None:
                raise NNUNetPromptError(
                    "monitor: not together with dask, whose workers have no common file"
                )
        check_type("convention", self.convention, GivenConvention, "GivenConvention('yx')")

    @property
    def overwrites(self) -> bool:
        """Whether existing masks are predicted again; never on a cluster, which cannot distinguish new from old."""
        return self.overwrite and self.dask is None

    def part(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The cases of this part: every `num_parts`-th, from number `part_id` on, as in nnU-Net."""
        return cases[self.part_id :: self.num_parts]
