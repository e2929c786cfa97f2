"""A session for tools: one image, prompts that come one after the other, and only the tiles run that a prompt changes.

session = PromptSession("path/to/model")
session.set_image("heart.nii.gz")
session.add(Point((120, 96, 40)), label=1)
mask = session.predict()  # label map on the image file's grid
session.undo()
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnunet_prompt.errors import PromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.prompts.model import Box, CasePrompts, Point, PromptSet, Scribble

if TYPE_CHECKING:
    from nnunet_prompt.data.nifti import NiftiVolume
    from nnunet_prompt.inference.grid import Placed
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.inference.predictor import Answer, PromptPredictor

_LOG = logging.getLogger(__name__)
Prompt = Point | Box | Scribble | npt.NDArray[np.bool_]


class PromptSession:
    """An open image of a model, with its prompts.

    Prompts count voxels of the image file's array, in nibabel's axis order; a mask is a boolean array of its shape and
    takes the place of the label's mask before. What is predicted depends on the prompts that are there, not on the way
    there, but for where tiles lie: those that still hold all prompts of a label stay. Not safe for several threads.
    """

    def __init__(
        self,
        model: PromptPredictor | Path | str,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    ) -> None:
        """Opens a model folder, or takes a predictor, whose own options then hold. Raises `ModelError`."""
        from nnunet_prompt.engine.cache import TileCache
        from nnunet_prompt.inference.predictor import PromptPredictor

        if isinstance(model, PromptPredictor):
            self.predictor = model
        else:
            self.predictor = PromptPredictor.from_folder(Path(model), options)
        self._cache = TileCache()
        self._case: Placed | None = None
        self._answer: Answer | None = None
        self._said: list[tuple[int, Prompt]] = []
        self.tiles_run = 0

    def set_image(self, images: Path | str | Sequence[NiftiVolume | Path | str]) -> None:
        """Opens an image: a file, or the channels of a case in the model's order. Forgets all prompts.

        What a header contradicts is logged as a warning. Raises `ImageError` for an image that cannot be read or does
        not fit the model; the one before stays open.
        """
        from nnunet_prompt.data.nifti import read_stored

        several = [images] if isinstance(images, (str, Path)) else list(images)
        volumes = [read_stored(i) if isinstance(i, (str, Path)) else i for i in several]
        for volume in volumes:
            for note in volume.notes:
                _LOG.warning("%s: %s", volume.path, note)
        self._case = self.predictor.place(volumes)
        self._cache.clear()
        self.reset()

    def add(self, prompt: Prompt, label: int = 1) -> None:
        """Adds a prompt to what is said about a label.

        Raises `PromptError` without an image, for a label below 1 and for a prompt outside the image.
        """
        case = self._open()
        if label < 1:
            raise PromptError(f"label: expected a whole number above 0, found {label}")
        _prompt_set([prompt]).check_inside(case.file_shape)
        self._said.append((label, prompt.copy() if isinstance(prompt, np.ndarray) else prompt))

    def undo(self) -> bool:
        """Takes back the prompt added last; False if there is none."""
        if self._said:
            self._said.pop()
            return True
        return False

    def reset(self) -> None:
        """Forgets all prompts; the image stays open."""
        self._said.clear()
        self._answer = None

    @property
    def prompts(self) -> CasePrompts:
        """What has been said, by label, in the file frame."""
        labels = dict.fromkeys(label for label, _ in self._said)
        return CasePrompts(
            {k: _prompt_set([prompt for label, prompt in self._said if label == k]) for k in labels}
        )

    def predict(self) -> LabelMap:
        """The label map on the image file's grid. `tiles_run` then tells how many tiles had to be run for it.

        Raises `PromptError` without an image.
        """
        case = self._open()
        before = self._cache.misses
        self._answer = self.predictor.answer(
            case,
            self.prompts,
            cache=self._cache,
            known=None if self._answer is None else self._answer.windows,
        )
        self.tiles_run = self._cache.misses - before
        return self._answer.labels

    def _open(self) -> Placed:
        if self._case is None:
            raise PromptError("session: no image is open; call set_image first")
        return self._case


def _prompt_set(prompts: Sequence[Prompt]) -> PromptSet:
    masks = [p for p in prompts if isinstance(p, np.ndarray)]
    return PromptSet(
        tuple(p for p in prompts if isinstance(p, Point)),
        tuple(p for p in prompts if isinstance(p, Box)),
        tuple(p for p in prompts if isinstance(p, Scribble)),
        np.asarray(masks[-1], bool) if masks else None,
    )
