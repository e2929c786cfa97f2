"""Shared by all runs of a model over many cases: the predictor, its folder, and cases that may fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.pipeline import pipelined
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import CasePrompts

if TYPE_CHECKING:
    from nnunet_prompt.inference.level_files import LevelFiles
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.inference.model_folder import LoadedModel
    from nnunet_prompt.inference.object_logits import ObjectLogits
    from nnunet_prompt.prompt_files.infer_convention import Reading
    from nnunet_prompt.sliding_window.canvas import LabelLogits
    from nnunet_prompt.sliding_window.sliding_window import Engine

_log = logging.getLogger(__name__)

Case = TypeVar("Case")
Loaded = TypeVar("Loaded")
Done = TypeVar("Done")
Written = TypeVar("Written")


class Predictor(Protocol):
    """A loaded model; `inference.predictor.PromptPredictor` is one. Its label maps lie on the grid of `images[0]`."""

    @property
    def n_image_channels(self) -> int:
        """How many image files a case has."""

    @property
    def table(self) -> StructureTable:
        """The structures that it knows without prompts, and their values."""

    @property
    def engine(self) -> Engine:
        """Its networks and how they are slid over a volume."""

    def predict_prompts(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> LabelMap:
        """Predicts the objects that the prompts point at, with their label ids."""

    def object_logits(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> ObjectLogits:
        """Predicts the logits that `predict_prompts` merges."""

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> LabelMap:
        """The structures of these names, or all, with the official values of `table`."""


class StagedPredictor(Predictor, Protocol):
    """A predictor that can preprocess one case in one thread while it answers for another in a second one."""

    @property
    def reader(self) -> ImageReader:
        """How its images are read."""

    def place(self, images: Sequence[NiftiVolume], *, whole: bool = False) -> Any:
        """Preprocesses a case, which may take memory but no time of the network; `whole` is for `answer_structures`."""

    def answer(self, case: Any, prompts: CasePrompts) -> Any:
        """`inference.predictor.Answer`, what the prompts point at in a case that was placed."""

    def answer_structures(
        self, case: Any, wanted: Sequence[str] = (), maps: LevelFiles | None = None
    ) -> LabelMap:
        """The structures of these names, or all, in a case that was placed as a whole; and their probabilities."""

    def disagreement(self, case: Any, labels: LabelMap, wanted: Sequence[str] = ()) -> Any:
        """How unsure the support set leaves the answer of `answer_structures`; for `Asked.uncertainty` alone."""

    # for probabilities alone

    @property
    def model(self) -> LoadedModel:
        """What it was loaded from."""

    def find(self, case: Any, prompts: CasePrompts) -> dict[int, LabelLogits]:
        """The logits of what the prompts point at, which `merge` makes a label map of."""

    def merge(
        self, case: Any, prompts: CasePrompts, answers: Mapping[int, LabelLogits]
    ) -> LabelMap:
        """The label map of what was found."""


@dataclass(frozen=True, slots=True)
class Run(Generic[Written]):
    """The outcomes of the cases, by name: the results of those that went well, and why the others failed."""

    done: dict[str, Written] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def succeed(self, name: str, written: Written, *, verbose: bool = False) -> None:
        """Notes a case that went well, and logs what was written of it: as INFO if `verbose`, else as DEBUG."""
        self.done[name] = written
        level = logging.INFO if verbose else logging.DEBUG
        _log.log(level, "case %s: %s", name, "done" if written is None else written)

    def fail(self, name: str, reason: str) -> None:
        """Notes a case that failed, and logs it as an error."""
        self.failed[name] = reason
        _log.error("case %s: %s", name, reason)


def each_case(
    cases: Iterable[tuple[str, Case]],
    *,
    load: Callable[[Case], Loaded],
    work: Callable[[Loaded], Done],
    write: Callable[[Done], Written],
    verb: str,
    verbose: bool = False,
) -> Run[Written]:
    """Loads, does and writes named cases, side by side as in `pipelined`; failures are also logged.

    A case that fails, for whatever reason (such as out of memory), does not cost the others.
    """
    run: Run[Written] = Run()
    named = list(cases)
    outcomes = pipelined(named, load=lambda one: load(one[1]), work=work, write=write)
    with closing(outcomes):  # Ctrl-C may come here, too
        for outcome in progress(outcomes, verb, total=len(named)):
            name = outcome.item[0]
            if outcome.error is not None:
                run.fail(name, reason_of(outcome.error))
            else:
                run.succeed(name, cast("Written", outcome.value), verbose=verbose)
    return run


def reason_of(error: BaseException) -> str:
    """Why a case failed, in one line; with the kind of error where it is none that we raise ourselves."""
    if isinstance(error, NNUNetPromptError):
        return str(error)
    first_line = next(iter(str(error).strip().splitlines()), "no reason given")
    return f"{type(error).__name__}: {first_line}"


def all_failures(failed: dict[str, str], total: int) -> NNUNetPromptError:
    """The one line at the end for the failures of `total` cases."""
    first, reason = next(iter(failed.items()))
    return NNUNetPromptError(
        f"{len(failed)} of {total} cases have no mask; the first is {first}: {reason}"
    )


def report(reading: Reading) -> None:
    """Reports how a prompts.json is read: each decision with its evidence, and as warnings what nothing decides."""
    for line in reading.notes:
        _log.info(line)
    for line in reading.guessed:
        _log.warning(line)
