"""One job, whatever form it came in: images and prompts in, a label map on the grid of the first image out.

Without prompts the model's own structures are the answer; with a mask of an earlier round the prompts correct it. Where
the network fails, the mask is that of the earlier round, else what the prompts alone show, as in CARE's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.asked import ask_network
from nnunet_prompt.challenge.budget import Budget, Effort
from nnunet_prompt.challenge.case_run import ALONE, Trouble
from nnunet_prompt.challenge.fallback import keep_allowed, mask_from_prompts
from nnunet_prompt.inference.case_runner import Predictor, reason_of
from nnunet_prompt.inference.low_memory import (
    DeadlineExceeded,
    passes_per_tile,
    without_mirroring,
)
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.inference.refined import corrected, with_masks
from nnunet_prompt.inference.sequence_fusion import predict_case
from nnunet_prompt.io.image_cases import are_sequences
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.frames import AxisMap, pls_map
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What a platform asks for one case.

    case        its name, for messages
    volumes     the images by tag, as `sequence_fusion.read_case` has them; the mask has the grid of the first
    prompts     what is stated about each label; None asks for the model's structures
    automatic   the label map of an earlier round on that grid, which the prompts correct
    structures  names of the structures to find without prompts; all, where it is empty
    start       whether prompts without an earlier mask correct the structures that the model finds
    """

    case: str
    volumes: Mapping[str, NiftiVolume]
    prompts: CasePrompts | None = None
    automatic: LabelMap | None = None
    structures: tuple[str, ...] = ()
    start: bool = False

    @property
    def reference(self) -> NiftiVolume:
        """The image whose grid the mask has."""
        return next(iter(self.volumes.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The label map of a job on its file grid, and what went wrong on the way."""

    labels: LabelMap
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    tiles: int = 0


@dataclass(slots=True)
class _Log:
    """What is noted of a job while it is answered."""

    case: str
    troubles: list[Trouble] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tiles: int = 0

    def note(self, line: str) -> None:
        self.notes.append(line)

    def trouble(self, reason: str) -> None:
        self.troubles.append(Trouble(self.case, "prediction", reason))


def answer(
    predictor: Predictor, job: Job, budget: Budget | None = None, cases: int = 1
) -> Answered:
    """Asks the network, with less memory or less mirroring where there is too little of memory or time.

    `job` is the first of `cases` that share the `budget`. Raises nothing but what stops a program: where the network
    fails, the label map comes from the earlier round or the prompts, and `troubles` states why.
    """
    budget, log = budget or Budget(), _Log(job.case)
    effort = budget.plan(cases, passes_per_tile(predictor))
    begun = budget.clock()
    labels: LabelMap | None = None
    if effort.mode == "prompts":
        log.trouble("there is no time for the network" + _instead(job))
    else:
        try:
            labels = _ask(predictor, job, log, budget.stopper(effort), effort)
        except Exception as error:
            stopped = isinstance(error, DeadlineExceeded)
            log.trouble((str(error) if stopped else reason_of(error)) + _instead(job))
    budget.learn(effort, budget.clock() - begun if log.tiles else 0.0, 0.0)
    if labels is None:
        labels = without_network(job)
    return Answered(labels, tuple(log.troubles), tuple(log.notes), log.tiles)


def without_network(job: Job) -> LabelMap:
    """The label map of the earlier round, else filled boxes and discs around points, else zeros."""
    if job.automatic is not None:
        return job.automatic
    image = job.reference
    if job.prompts is None:
        return np.zeros(image.shape, np.uint8)
    to_pls = pls_map(image.affine, image.shape)
    prompts = _per_slice(job.prompts, to_pls)
    made = mask_from_prompts(prompts, to_pls.target_shape, to_pls.apply(image.array))
    return np.ascontiguousarray(to_pls.inverse().apply(_allowed(made, prompts)))


def _ask(
    predictor: Predictor, job: Job, log: _Log, stop: Callable[[], None], effort: Effort
) -> LabelMap:
    if effort.mode == "fast":
        predictor = without_mirroring(predictor)
        log.trouble("done without mirroring, to save time")

    def ask(variant: Predictor) -> LabelMap:
        return _network(variant, job, log)

    return ask_network(predictor, ask, stop=stop, shape=job.reference.shape, record=log)


def _network(predictor: Predictor, job: Job, log: _Log) -> LabelMap:
    if job.prompts is None and job.automatic is None:
        return _structures(predictor, job, job.structures, log)
    prompts, automatic = job.prompts or CasePrompts(), job.automatic
    if job.prompts is None and automatic is not None:  # a round without a word: all is asked again
        labels = [int(v) for v in np.unique(automatic) if v]
        prompts = CasePrompts({label: PromptSet() for label in labels})
    kept = automatic
    if automatic is None and job.start:
        kept = automatic = _structures(predictor, job, job.structures, log)
    elif automatic is None:
        automatic = _where_unsaid(predictor, job, prompts, log)
    if automatic is not None:
        prompts = with_masks(prompts, automatic, job.reference)
    found = predict_case(predictor, job.volumes, prompts, warn=log.note)
    if prompts.slices is not None:
        image = job.reference
        to_pls = pls_map(image.affine, image.shape)
        allowed = keep_allowed(to_pls.apply(found), prompts)
        found = np.ascontiguousarray(to_pls.inverse().apply(allowed))
    return found if kept is None else corrected(kept, found, [*prompts.labels, *prompts.named])


def _where_unsaid(
    predictor: Predictor, job: Job, prompts: CasePrompts, log: _Log
) -> LabelMap | None:
    """The automatic mask of labels of which the prompts state only where they are not; None where there is none."""
    official = {s.official: s.name for s in predictor.table.structures}
    names = [official[k] for k, p in prompts.labels.items() if not p.says_where and k in official]
    return _structures(predictor, job, names, log) if names else None


def _structures(
    predictor: Predictor, job: Job, wanted: Sequence[str], log: _Log
) -> npt.NDArray[Any]:
    volumes = list(job.volumes.values())
    if are_sequences(job.volumes) and predictor.n_image_channels == 1 and len(volumes) > 1:
        log.note(f"{volumes[0].path}: structures without prompts are those of this image")
        volumes = volumes[:1]
    return np.asarray(predictor.predict_structures(volumes, wanted))


def _per_slice(prompts: CasePrompts, to_pls: AxisMap) -> CasePrompts:
    """The prompts in PLS, with a box of one slice for each slice of a thicker one and vertices as points.

    Those of a prompts.json, which are in PLS, have boxes of one slice already.
    """
    if prompts.frame == "PLS":
        return prompts
    sets = {}
    for label, said in prompts.labels.items():
        here = to_pls.prompts(said)
        boxes = [thin for box in here.boxes if box.positive for thin in _thin(box)]
        vertices = [Point(v) for s in here.scribbles if s.positive for v in s.path]
        points = [p for p in here.points if p.positive]
        sets[label] = PromptSet((*points, *vertices), tuple(boxes))
    return replace(prompts, labels=sets, frame="PLS")


def _thin(box: Box) -> list[Box]:
    """The boxes of one slice, along the third axis, that make a box."""
    (a, b, low), (c, d, high) = box.lower, box.upper
    first, last = round(low), max(round(low) + 1, round(high))
    return [Box((a, b, float(k)), (c, d, float(k + 1))) for k in range(first, last)]


def _allowed(labels: npt.NDArray[Any], prompts: CasePrompts) -> npt.NDArray[Any]:
    return labels if prompts.slices is None else keep_allowed(labels, prompts)


def _instead(job: Job) -> str:
    if job.automatic is not None:
        return "; its mask is the earlier one"
    return ALONE if job.prompts is not None else "; its mask is empty"
