"""A session for tools: one image, one prompt after the other, and only the tiles run that a prompt changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path, items, one_of, shown, three_numbers
from nnunet_prompt.common.errors import NNUNetPromptError, PromptError
from nnunet_prompt.inference.given import (
    Label,
    as_label,
    as_label_map,
    as_options,
    as_volumes,
)
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.prompts.checks import Coordinate, as_vertices
from nnunet_prompt.prompts.coerce import Prompt, as_prompt, as_prompt_set
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, Scribble
from nnunet_prompt.prompts.world import FromWorld

if TYPE_CHECKING:
    from nnunet_prompt.inference.grid import Placed
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.inference.predictor import Answer, Images, PromptPredictor

_LOG = logging.getLogger(__name__)
Triple = Coordinate | Sequence[float]
PromptSpace = Literal["voxel", "world"]


class PromptSession:
    """An open image of a model, with its prompts.

        session = PromptSession("MODEL", device="cpu")
        session.set_image("case_001.nii.gz")
        session.add_point((88, 97, 5), label=500)
        session.add_box((70, 80, 5), (110, 120, 6), label="LV")
        mask = session.predict()  # (X, Y, Z), the labels and 0
        session.undo()

    Prompts count voxels of the image's array, in nibabel's axis order (X, Y, Z), or mm of the world (RAS) with
    `space="world"`. Labels are values, or names of the model's structures. A mask is a boolean array of the image's
    shape and takes the place of the label's mask before. What is predicted depends on the prompts that are there, not
    on the way there, but for where tiles lie: those that still hold all prompts of a label stay. Not safe for several
    threads.
    """

    def __init__(
        self,
        model: PromptPredictor | Path | str,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
        *,
        device: str | None = None,
    ) -> None:
        """Opens a model folder, or takes a predictor, whose own options then hold.

        `device` ("cpu", "cuda" or "mps") goes before that of the `options`. Raises `ModelError` for a folder without
        a model and `NNUNetPromptError` for anything else.
        """
        from nnunet_prompt.inference.predictor import PromptPredictor
        from nnunet_prompt.sliding_window.tile_cache import TileCache

        as_options(options)
        if isinstance(model, PromptPredictor):
            self.predictor = model
        else:
            self.predictor = PromptPredictor(as_path("model", model), options, device=device)
        self._cache = TileCache()
        self._case: Placed | None = None
        self._affine: npt.NDArray[np.float64] = np.eye(4)
        self._answer: Answer | None = None
        self._said: list[tuple[int, Prompt]] = []
        self.tiles_run = 0

    def set_image(self, images: Images) -> None:
        """Opens an image, or the channels of a case in the model's order as a list. Forgets all prompts.

        An image is a path (or a folder with a DICOM series), a nibabel or SimpleITK image, (array, affine) with an
        array (X, Y, Z) in nibabel's order and a 4x4 affine to RAS mm, or (array, spacing) with three numbers in mm:

            session.set_image((array, (1.5, 1.5, 8.0)))
            session.set_image(["case_001_0000.nii.gz", "case_001_0001.nii.gz"])

        What a header contradicts is logged as a warning. Raises `ImageError` for an image that cannot be read or does
        not fit the model, and for what is no image; the one before stays open.
        """
        volumes = as_volumes(images, self.predictor.reader)
        for volume in volumes:
            for note in volume.notes:
                _LOG.warning("%s: %s", volume.path, note)
        self._case = self.predictor.place(volumes)
        self._affine = volumes[0].affine
        self._cache.clear()
        self.reset()

    def add(self, prompt: Prompt | Triple, label: Label = 1) -> None:
        """Adds a prompt to what is known about a label: a value, or the name of a structure for its official value.

        Three numbers are a point. Raises `NNUNetPromptError` without an image, and `PromptError` for what is no
        prompt or no label and for a prompt outside the image.
        """
        case = self._open()
        value = as_label(label, self.predictor.table)
        given = as_prompt(prompt)
        said = as_prompt_set(given)
        said.check_inside(case.file_shape)
        self.predictor.model.capability.check_supported(said, value)
        self._said.append((value, given.copy() if isinstance(given, np.ndarray) else given))

    def add_point(
        self,
        position: Triple,
        label: Label = 1,
        *,
        positive: bool = True,
        space: PromptSpace = "voxel",
    ) -> None:
        """Adds a click at a voxel, or at a position in mm; raises as `add`.

        session.add_point((88, 97, 5), label="LV", positive=False)
        session.add_point((-12.5, 40.0, 103.2), label=500, space="world")  # RAS mm
        """
        given = three_numbers("position", position)
        world = self._world(space)
        place = given if world is None else world.positions("point", [given])[0]
        self.add(Point(place, positive), label)

    def add_box(
        self,
        lower: Triple,
        upper: Triple,
        label: Label = 1,
        *,
        positive: bool = True,
        space: PromptSpace = "voxel",
    ) -> None:
        """Adds a box, half-open in voxels: in one slice k it reaches from k to k + 1. Raises as `add`.

        In mm it lies between two opposite corners, in any order; of an image that is rotated against the world it
        becomes the smallest box of voxels around it, and it is cut off at the border of the image.
        """
        corners = three_numbers("lower", lower), three_numbers("upper", upper)
        world = self._world(space)
        self.add(Box(*corners, positive) if world is None else world.box(*corners, positive), label)

    def add_scribble(
        self,
        path: Sequence[Triple],
        label: Label = 1,
        *,
        positive: bool = True,
        space: PromptSpace = "voxel",
    ) -> None:
        """Adds a line through voxels, or through positions in mm; raises as `add`.

        session.add_scribble([(80, 90, 5), (88, 97, 5), (95, 99, 5)], label=500)
        """
        vertices = as_vertices(path)
        world = self._world(space)
        if world is not None:
            vertices = world.positions("scribble vertex", vertices)
        self.add(Scribble(vertices, positive), label)

    def add_masks(self, label_map: LabelMap, labels: Sequence[Label] | Label | None = None) -> None:
        """Begins with masks that are there, such as automatic ones, to be corrected by clicks: adds the part of each of
        `labels` (all in the map, if none is named) of a label map on the image's grid as its mask.

        Raises as `add`, and adds nothing then.
        """
        array = as_label_map(label_map, self._open().file_shape)
        given = np.unique(array[array > 0]).tolist() if labels is None else labels
        parts = [given] if isinstance(given, (str, int, np.integer)) else items(given)
        if parts is None:
            raise PromptError(f"labels: expected labels such as [500, 'LV'], found {shown(given)}")
        values = [as_label(label, self.predictor.table) for label in parts]
        before = list(self._said)
        try:
            for value in values:
                self.add(array == value, value)
        except NNUNetPromptError:
            self._said = before
            raise

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
        """The prompts so far, by label, in the file frame."""
        labels = dict.fromkeys(label for label, _ in self._said)
        return CasePrompts(
            {k: as_prompt_set([p for label, p in self._said if label == k]) for k in labels}
        )

    def predict(self) -> LabelMap:
        """The label map on the image's grid: (X, Y, Z), unsigned integers, the labels of the prompts and 0.

        `tiles_run` is then the number of tiles that had to be run for it.

        Raises `NNUNetPromptError` without an image.
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

    def _world(self, space: PromptSpace) -> FromWorld | None:
        """The way from mm to voxels of the open image; None where coordinates count voxels."""
        one_of("space", space, ("voxel", "world"))
        return None if space == "voxel" else FromWorld(self._affine, self._open().file_shape)

    def _open(self) -> Placed:
        if self._case is None:
            raise NNUNetPromptError("session: no image is open; call set_image first")
        return self._case
