"""What every run of a model over many cases shares: the model that it asks, its folder, and cases that may fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnunet_prompt.data.nifti import NiftiVolume
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.errors import PromptError
from nnunet_prompt.prompts.model import CasePrompts

if TYPE_CHECKING:
    from nnunet_prompt.inference.object_logits import ObjectLogits

Case = TypeVar("Case")


class Predictor(Protocol):
    """A loaded model; `inference.predictor.PromptPredictor` is one. Its label maps lie on the grid of `images[0]`."""

    @property
    def n_image_channels(self) -> int:
        """How many image files a case has."""

    @property
    def table(self) -> StructureTable:
        """The structures that it knows without prompts, and their values."""

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[np.int32]:
        """What the prompts point at, with their label ids."""

    def object_logits(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> ObjectLogits:
        """What `predict_prompts` merges into them."""

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        """The structures of these names, or all, with the official values of `table`."""


def make_folder(folder: Path) -> None:
    """Makes an output folder and those above it. Raises `PromptError` if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PromptError(f"{folder}: cannot be made: {error.strerror}") from error


def each_case(
    cases: Iterable[tuple[str, Case]], work: Callable[[Case], None], *, verb: str
) -> dict[str, str]:
    """Does `work` on one named case after the other; returns why it failed, by name, which is also told on stderr.

    A case that fails, for whatever reason (out of memory, say), does not cost the others.
    """
    failed: dict[str, str] = {}
    for name, case in tqdm(list(cases), desc=verb, unit="case", disable=None):
        try:
            work(case)
        except PromptError as error:
            failed[name] = str(error)
        except Exception as error:
            first_line = next(iter(str(error).strip().splitlines()), "no reason given")
            failed[name] = f"{type(error).__name__}: {first_line}"
        if name in failed:
            tqdm.write(f"error: case {name}: {failed[name]}", file=sys.stderr)
    return failed


def all_failures(failed: dict[str, str], total: int) -> PromptError:
    """The one line at the end for what `each_case` returned of `total` cases."""
    first, reason = next(iter(failed.items()))
    return PromptError(
        f"{len(failed)} of {total} cases have no mask; the first is {first}: {reason}"
    )
