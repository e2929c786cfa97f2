"""One tab of the page: an open case, its prompts step by step, automatic structures, locks, and the mask of it all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError
from nnunet_prompt.inference.given import Label, as_label
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.prompts.channels import CHANNEL_NAMES, MASK
from nnunet_prompt.prompts.coerce import Prompt

if TYPE_CHECKING:
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.inference.predictor import PromptPredictor
    from nnunet_prompt.io.nifti import NiftiVolume
    from nnunet_prompt.prompts.types import CasePrompts


@dataclass(frozen=True, slots=True)
class Step:
    """What one undo takes back: the prompts added to a label at once."""

    label: int
    prompts: tuple[Prompt, ...]


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
        self.steps: list[Step] = []
        self.undone: list[Step] = []
        self.automatic: LabelMap | None = None  # kept once predicted
        self.automatic_on = False
        self.locked: dict[int, npt.NDArray[np.bool_]] = {}
        self.seconds = 0.0
        self._said: LabelMap = np.zeros(self.shape, np.uint8, order="F")
        self.mask: LabelMap = self._said

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volumes[0].shape

    @property
    def prompts(self) -> CasePrompts:
        return self.session.prompts

    @property
    def nbytes(self) -> int:
        """About what the tab keeps in memory: its images twice, as read and as the model sees them, and masks."""
        held = 2 * sum(volume.array.nbytes for volume in self.volumes)
        masks = [self.mask, self._said, *self.locked.values()]
        masks += [] if self.automatic is None else [self.automatic]
        masks += [p for step in self.steps for p in step.prompts if isinstance(p, np.ndarray)]
        return held + sum(mask.nbytes for mask in masks)

    def add(self, prompts: Sequence[Prompt], label: Label) -> None:
        """Adds prompts to a label, as one step, and predicts; a label with an automatic mask begins with it.

        Raises `PromptError` for a locked label and like `PromptSession.add`; nothing is added then.
        """
        value = as_label(label, self.session.predictor.table)
        self._check_free(value)
        self._do([Step(value, (*self._begun(value), *prompts))])
        self.undone.clear()

    def add_case(self, given: CasePrompts) -> None:
        """Puts the prompts of a file, in the file frame, in the place of all others; undo works label by label.

        Raises `PromptError` for prompts by slice, and like `add`; the prompts before stay then.
        """
        if given.frame != "file" or given.slices is not None:
            raise PromptError(
                "prompts by slice (prompts.json of TFM4MedIA) cannot be edited here; give our own form, or use predict"
            )
        steps = []
        for label, said in given.labels.items():
            self._check_free(label)
            parts: tuple[Prompt, ...] = (*said.points, *said.boxes, *said.scribbles)
            if said.negative_mask is not None:
                raise PromptError(f"label {label}: a negative mask cannot be edited here")
            steps.append(Step(label, parts if said.mask is None else (said.mask, *parts)))
        before = self.steps
        self._clear()
        try:
            self._do(steps)
        except NNUNetPromptError:
            self._clear()
            self._do(before)
            raise
        self.undone.clear()

    def undo(self) -> bool:
        """Takes back the last step; False if there is none. Raises `PromptError` where its label is locked."""
        if not self.steps:
            return False
        self._check_free(self.steps[-1].label)
        step = self.steps.pop()
        self._take_back(len(step.prompts))
        self.undone.append(step)
        self._predict()
        return True

    def redo(self) -> bool:
        """Adds the step again that was taken back last; False if there is none."""
        if not self.undone:
            return False
        self._check_free(self.undone[-1].label)
        self._do([self.undone[-1]])
        self.undone.pop()
        return True

    def reset(self) -> None:
        """Forgets all prompts and locks, and switches the automatic structures off."""
        self._clear()
        self.undone.clear()
        self.locked.clear()
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
        """Locks the voxels that a label has now: it neither gains nor loses any. Unlocked, it is predicted again."""
        value = as_label(label, self.session.predictor.table)
        if on:
            self.locked[value] = self.mask == value
        else:
            self.locked.pop(value, None)
        self._compose()

    def _do(self, steps: Sequence[Step]) -> None:
        """Adds steps and predicts; none is added if that fails."""
        added = 0
        try:
            for step in steps:
                for prompt in step.prompts:
                    self.session.add(prompt, step.label)
                    added += 1
            self._predict()
        except BaseException:
            self._take_back(added)
            raise
        self.steps += steps

    def _take_back(self, count: int) -> None:
        for _ in range(count):
            self.session.undo()

    def _clear(self) -> None:
        self.steps = []
        self.session.reset()

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
        self._compose()
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
