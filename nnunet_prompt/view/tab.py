"""One tab of the page: an open case, its prompts step by step, automatic structures, locks, and the mask of it all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.inference.given import Label, as_label
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.prompts.channels import CHANNEL_NAMES, MASK
from nnunet_prompt.prompts.coerce import Prompt
from nnunet_prompt.prompts.types import Box, Point, Scribble

if TYPE_CHECKING:
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.inference.predictor import PromptPredictor
    from nnunet_prompt.io.nifti import NiftiVolume
    from nnunet_prompt.prompts.types import CasePrompts

KINDS: Mapping[str, type] = {"point": Point, "box": Box, "scribble": Scribble}
MOST_STEPS = 100  # that can be undone


@dataclass(frozen=True, slots=True)
class Step:
    """The prompts added to a label at once.

    begun: whether the first of them is the automatic mask that the label begins with
    """

    label: int
    prompts: tuple[Prompt, ...]
    begun: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What undo and redo go between: all prompts, and the locked labels with their voxels."""

    steps: tuple[Step, ...] = ()
    locked: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)


class Tab:
    """An open case. Not safe for several threads.

    `mask` is what the page shows and saves: what `PromptSession` predicts; over the automatic structures, where they
    are on, whose labels give way as soon as they have prompts; and under the locked labels, which keep their voxels.
    Without automatic structures and locks it is the session's mask, voxel for voxel.
    """

    def __init__(
        self, predictor: PromptPredictor, name: str, volumes: Sequence[NiftiVolume]
    ) -> None:
        """Opens the channels of a case. Raises `ImageError` for images that do not fit the model."""
        self.name = name
        self.volumes = list(volumes)
        self.session = PromptSession(predictor)
        self.session.set_image(self.volumes)
        self.state = State()
        self.before: list[State] = []  # one for each step that can be undone
        self.undone: list[State] = []
        self.automatic: LabelMap | None = None  # kept once predicted
        self.automatic_on = False
        self.seconds = 0.0
        self._sent: list[tuple[int, Prompt]] = []  # the prompts of the session, with their labels
        self._said: LabelMap = np.zeros(self.shape, np.uint8, order="F")
        self.mask: LabelMap = self._said

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volumes[0].shape

    @property
    def prompts(self) -> CasePrompts:
        return self.session.prompts

    @property
    def steps(self) -> tuple[Step, ...]:
        """The prompts, in the order in which they were added."""
        return self.state.steps

    @property
    def locked(self) -> Mapping[int, npt.NDArray[np.bool_]]:
        """The locked labels, and the voxels that they keep."""
        return self.state.locked

    @property
    def nbytes(self) -> int:
        """About what the tab keeps in memory: its images twice, as read and as the model sees them, and masks."""
        held = 2 * sum(volume.array.nbytes for volume in self.volumes)
        masks: list[npt.NDArray[Any]] = [self.mask, self._said]
        masks += [] if self.automatic is None else [self.automatic]
        for state in (*self.before, self.state, *self.undone):
            masks += state.locked.values()
            masks += [p for one in state.steps for p in one.prompts if isinstance(p, np.ndarray)]
        return held + sum(mask.nbytes for mask in {id(mask): mask for mask in masks}.values())

    def add(self, prompts: Sequence[Prompt], label: Label) -> None:
        """Adds prompts to a label, as one step, and predicts; a label with an automatic mask begins with it.

        Raises `PromptError` for a locked label and like `PromptSession.add`; nothing is added then.
        """
        value = as_label(label, self.session.predictor.table)
        self._check_free(value)
        begun = self._begun(value)
        step = Step(value, (*begun, *prompts), bool(begun))
        self._change(replace(self.state, steps=(*self.state.steps, step)))

    def remove(self, label: Label, kind: str, number: int) -> None:
        """Removes one prompt of a label, counted from 0 among those of its kind, as one step, and predicts.

        The automatic mask that the label began with goes with its last prompt. Raises `PromptError` for a locked label
        and where there is no such prompt.
        """
        value = as_label(label, self.session.predictor.table)
        self._check_free(value)
        if kind not in KINDS:
            raise PromptError(f"kind: expected one of {', '.join(KINDS)}, found {kind!r}")
        own = [
            (n, k)
            for n, step in enumerate(self.steps)
            for k, prompt in enumerate(step.prompts)
            if step.label == value and type(prompt) is KINDS[kind]
        ]
        if not 0 <= number < len(own):
            raise PromptError(
                f"label {value}: has {len(own)} prompts of the kind {kind}, found number {number}, counted from 0"
            )
        self._change(replace(self.state, steps=_without(self.steps, *own[number])))

    def add_case(self, given: CasePrompts) -> None:
        """Puts the prompts of a file, in the file frame, in the place of all others, as one step.

        Raises `PromptError` for prompts by slice, for texts, and like `add`; the prompts before stay then.
        """
        if given.frame != "file" or given.slices is not None:
            raise PromptError(
                "prompts by slice (prompts.json of TFM4MedIA) cannot be edited here; give our own form, or use predict"
            )
        if given.named:
            label, name = next(iter(given.named.items()))
            raise PromptError(f"label {label}: a text ({name}) cannot be edited here; use predict")
        steps = []
        for label, said in given.labels.items():
            self._check_free(label)
            parts: tuple[Prompt, ...] = (*said.points, *said.boxes, *said.scribbles)
            if said.negative_mask is not None:
                raise PromptError(f"label {label}: a negative mask cannot be edited here")
            steps.append(Step(label, parts if said.mask is None else (said.mask, *parts)))
        self._change(replace(self.state, steps=tuple(steps)))

    def undo(self) -> bool:
        """Takes back the last step: prompts that were added or removed, or a lock; False if there is none."""
        return self._go(self.before, self.undone)

    def redo(self) -> bool:
        """Makes the step again that was taken back last; False if there is none."""
        return self._go(self.undone, self.before)

    def reset(self) -> None:
        """Forgets all prompts and locks, and switches the automatic structures off."""
        self.state = State()
        self.before.clear()
        self.undone.clear()
        self.session.reset()
        self._sent = []
        self.automatic_on = False
        self._said = np.zeros(self.shape, np.uint8, order="F")
        self._compose()

    def switch_automatic(self, on: bool) -> None:
        """Shows or hides the automatic structures; they are predicted once."""
        start = time.perf_counter()
        if on and self.automatic is None:
            self.automatic = self.session.predictor.predict_structures(self.volumes)
        self.automatic_on = on
        self._compose()
        self.seconds = time.perf_counter() - start

    def lock(self, label: Label, on: bool) -> None:
        """Locks the voxels that a label has now: it neither gains nor loses any. Unlocked, it is predicted again.

        One step, which undo takes back; none where the label is locked, or not, already.
        """
        value = as_label(label, self.session.predictor.table)
        if on == (value in self.locked):
            return
        others = {key: where for key, where in self.locked.items() if key != value}
        own = {value: self.mask == value} if on else {}
        self._change(replace(self.state, locked=others | own))

    def _change(self, state: State) -> None:
        """Goes to a new state, as a step that can be undone."""
        before = self.state
        self._set(state)
        self.before = [*self.before, before][-MOST_STEPS:]
        self.undone.clear()

    def _go(self, source: list[State], target: list[State]) -> bool:
        """Goes to the last state of `source`, and keeps the present one in `target`."""
        if not source:
            return False
        now = self.state
        self._set(source[-1])
        source.pop()
        target.append(now)
        return True

    def _set(self, state: State) -> None:
        """Shows a state; the one before stays where its prompts are refused."""
        before, wanted = self._sent, [(s.label, p) for s in state.steps for p in s.prompts]
        kept = 0
        for (label, prompt), (other, new) in zip(before, wanted, strict=False):
            if label != other or prompt is not new:
                break
            kept += 1
        try:
            self._send(kept, wanted)
            if len(before) != kept or len(wanted) != kept:
                self._predict()
        except BaseException:
            self._send(kept, before)
            raise
        self.state = state
        self._compose()

    def _send(self, kept: int, wanted: Sequence[tuple[int, Prompt]]) -> None:
        """Gives the session these prompts, of which it has the first ones already."""
        while len(self._sent) > kept:
            self.session.undo()
            self._sent = self._sent[:-1]
        for label, prompt in wanted[kept:]:
            self.session.add(prompt, label)
            self._sent = [*self._sent, (label, prompt)]

    def _check_free(self, label: int) -> None:
        if label in self.locked:
            raise PromptError(f"label {label} is locked: unlock it first")

    def _begun(self, label: int) -> tuple[Prompt, ...]:
        """The automatic mask that the first prompt of a label corrects, for models that were shown masks."""
        known = CHANNEL_NAMES[MASK] not in self.session.predictor.model.capability.unsupported
        if not (self.automatic_on and known) or label in self.prompts.labels:
            return ()
        assert self.automatic is not None
        part = self.automatic == label
        return (part,) if part.any() else ()

    def _predict(self) -> None:
        start = time.perf_counter()
        self._said = self.session.predict()
        self.seconds = time.perf_counter() - start

    def _compose(self) -> None:
        """Sets `mask` from the parts that the class names."""
        if not self.automatic_on and not self.locked:
            self.mask = self._said
            return
        said = self._said
        if self.automatic_on and self.automatic is not None:
            mask = self.automatic.astype(np.promote_types(said.dtype, self.automatic.dtype))
            mask[np.isin(mask, list(self.prompts.labels))] = 0
            np.copyto(mask, said, where=said > 0)
        else:
            mask = said.copy(order="F")
        if self.locked:
            needed = np.min_scalar_type(max(self.locked))
            mask = mask.astype(np.promote_types(mask.dtype, needed), copy=False)
            mask[np.isin(mask, list(self.locked))] = 0
            for label, where in self.locked.items():
                mask[where] = label
        self.mask = mask


def _without(steps: Sequence[Step], place: int, number: int) -> tuple[Step, ...]:
    """The steps without a prompt of one of them; without the automatic mask of its label if no other prompt is left."""
    prompts, label = steps[place].prompts, steps[place].label
    left = list(steps)
    left[place] = replace(left[place], prompts=prompts[:number] + prompts[number + 1 :])
    own = [prompt for step in left if step.label == label for prompt in step.prompts[step.begun :]]
    return tuple(s for s in left if s.prompts and (own or s.label != label))
