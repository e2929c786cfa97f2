"""One case on its way from its files to its mask, in three steps: load, predict, write.

Each step does what can still be done when the one before it failed. What went wrong gathers in `CaseRun.troubles`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.asked import ask_network
from nnunet_prompt.challenge.budget import Budget, Effort
from nnunet_prompt.challenge.fallback import BYTES_PER_VOXEL, keep_allowed, mask_from_prompts
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.low_memory import (
    DeadlineExceeded,
    without_mirroring,
)
from nnunet_prompt.inference.sequence_fusion import predict_case, read_case
from nnunet_prompt.io.image_cases import PLAIN, ImageCase
from nnunet_prompt.io.nifti import NiftiVolume, write_labels_like
from nnunet_prompt.io.repair import MAX_VOXELS, mended_place, read_mended, read_mended_grid
from nnunet_prompt.prompt_files.infer_convention import Reading
from nnunet_prompt.prompt_files.prompts_json import PromptsJson, shorten
from nnunet_prompt.prompt_files.prompts_json_text import with_texts
from nnunet_prompt.prompts.frames import AxisMap, pls_map
from nnunet_prompt.prompts.types import CasePrompts

Stage = Literal["image", "prompts", "prediction", "output"]
LabelArray = npt.NDArray[Any]
LONGEST_REASON = 400
IMAGE_BYTES = 16  # what a voxel of an image takes, as stored, as float32 and preprocessed
ALONE = "; its mask is from the prompts alone"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem of one case. `has_mask` is False if an image of the case is there but no mask."""

    case: str
    stage: Stage
    reason: str
    has_mask: bool = True

    def __str__(self) -> str:
        return f"case {shorten(self.case)}, {self.stage}: {self.reason}"  # a key may be long


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """Settings that the cases of a run share; `free_bytes` is the memory that one case may take, None if unknown."""

    predictor: Predictor
    prompts: PromptsJson
    reading: Reading = field(default_factory=Reading)
    budget: Budget = field(default_factory=Budget)
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A case that is read: the images for the network, or none; the grid of the mask; the prompts in PLS.

    `seen` is an image on that grid for where the network fails, None where no voxels can be had.
    """

    volumes: Mapping[str, NiftiVolume]
    reference: NiftiVolume
    seen: NiftiVolume | None
    to_pls: AxisMap
    prompts: CasePrompts


class CaseRun:
    """One case; `key` is that of its prompts, None if it has none.

    `load`, `predict` and `write` may run in different threads, one after the other. They raise nothing but what stops
    a program.
    """

    def __init__(self, setting: Setting, case: ImageCase, key: str | None) -> None:
        self.setting = setting
        self.case = case
        self.key = key
        self.troubles: list[Trouble] = []
        self.notes: list[str] = []
        self.tiles = 0
        self.named: LabelArray | None = None  # the label map of what words name, in the file frame

    def load(self, *, voxels: bool = True) -> Loaded | None:
        """Reads the images, or only where they lie without `voxels`, and places the prompts.

        None if no grid is known: then there can be no mask.
        """
        volumes: Mapping[str, NiftiVolume] = {}
        seen: NiftiVolume | None = None
        if voxels:
            try:
                volumes = self._read()
                seen = next(iter(volumes.values()))
            except Exception as error:
                seen = self._rescue()
                if seen is not None and self.setting.predictor.n_image_channels == 1:
                    volumes = {PLAIN: seen}
                    self._trouble(
                        "image", error, f"; done with what could be read of {seen.path.name}"
                    )
                else:
                    self._trouble("image", error, ALONE)
        try:
            reference = seen or self._grid()
            to_pls = pls_map(reference.affine, reference.shape)
        except Exception as error:
            self._trouble("image", error, "; it has no mask", has_mask=False)
            return None
        try:
            prompts = self._prompts(to_pls)
        except Exception as error:
            self._trouble("prompts", error, "; its mask is empty")
            prompts = CasePrompts({}, "PLS", {})
        return Loaded(volumes, reference, seen, to_pls, prompts)

    def predict(self, loaded: Loaded, effort: Effort) -> LabelArray | None:
        """The predicted label map in the file frame of what is pointed at, or None where there can be none.

        What words name is kept in `named`, so that neither costs the other.
        """
        if not loaded.prompts.labels and not loaded.prompts.named:
            return None
        if effort.mode == "prompts":
            self.trouble("there is no time for the network" + ALONE)
            return None
        if not loaded.volumes:
            return None
        predictor, stop = self.setting.predictor, self.setting.budget.stopper(effort)
        if effort.mode == "fast":
            predictor = without_mirroring(predictor)
            self.trouble("done without mirroring, to save time")
        labels = None
        if loaded.prompts.labels:
            try:
                pointed = replace(loaded.prompts, named={})
                labels = self._ask(predictor, replace(loaded, prompts=pointed), stop)
            except Exception as error:
                self._trouble("prediction", error, ALONE)
        if loaded.prompts.named:
            try:
                by_name = replace(loaded.prompts, labels={})
                self.named = self._ask(predictor, replace(loaded, prompts=by_name), stop)
            except Exception as error:
                self._trouble("prediction", error, "; what its words name is left out")
        return labels

    def write(self, loaded: Loaded, labels: LabelArray | None, target: Path) -> None:
        """Writes the mask, from the prompts where there are no `labels`."""
        try:
            if labels is None:
                in_pls: LabelArray = mask_from_prompts(
                    loaded.prompts, loaded.to_pls.target_shape, self._visible(loaded)
                )
            else:
                in_pls = loaded.to_pls.apply(labels)
            if self.named is not None:
                kept = keep_allowed(in_pls, loaded.prompts)
                in_pls = np.where(kept == 0, loaded.to_pls.apply(self.named), kept)
            allowed = loaded.to_pls.inverse().apply(keep_allowed(in_pls, loaded.prompts))
            write_labels_like(target, allowed, loaded.reference)
        except Exception as error:
            self._trouble("output", error, "; it has no mask", has_mask=False)

    def _ask(self, predictor: Predictor, loaded: Loaded, stop: Callable[[], None]) -> LabelArray:
        def ask(variant: Predictor) -> LabelArray:
            return predict_case(variant, loaded.volumes, loaded.prompts, warn=self.note)

        return ask_network(predictor, ask, stop=stop, shape=loaded.reference.shape, record=self)

    def _read(self) -> Mapping[str, NiftiVolume]:
        """The images for the model; raises if they cannot be read or do not fit it."""
        paths = self.case.pick(self.setting.predictor.n_image_channels)
        self._check_size(list(paths.values()))
        read = read_case(paths, warn=partial(self._trouble, "image"))
        volumes = {tag: mended_place(volume) for tag, volume in read.items()}
        for volume in volumes.values():
            for line in volume.remarks():
                self.note(line)
        return volumes

    def _rescue(self) -> NiftiVolume | None:
        """The first image of which voxels can be had from readers that forgive."""
        for path in self.case.ordered:
            try:
                self._check_size([path])
                volume = read_mended(path)
            except Exception:  # another file may do, and the reason is that of `_read`
                continue
            for line in volume.remarks():
                self.note(line)
            return volume
        return None

    def _grid(self) -> NiftiVolume:
        """The grid of the first image whose header can be read; raises the error of the first image."""
        most = MAX_VOXELS
        if self.setting.free_bytes is not None:
            most = min(most, self.setting.free_bytes // BYTES_PER_VOXEL)
        errors: list[Exception] = []
        for path in self.case.ordered:
            try:
                return read_mended_grid(path, max_voxels=most)
            except Exception as error:
                errors.append(error)
        raise errors[0]

    def _check_size(self, paths: Sequence[Path]) -> None:
        """Raises `ImageError` where reading would take so much memory that the kernel might kill the process."""
        free = self.setting.free_bytes
        if free is None:
            return
        sizes = [0]
        for path in paths:
            with suppress(
                ImageError
            ):  # what cannot be opened takes no memory, and reading it raises why
                sizes.append(math.prod(read_mended_grid(path).shape))
        needed = IMAGE_BYTES * sum(sizes) + BYTES_PER_VOXEL * max(sizes)
        if needed > free:
            raise ImageError(
                f"{paths[0]}: its header claims {max(sizes)} voxels, which take about {needed >> 20} MiB, but only"
                f" {free >> 20} MiB are left"
            )

    def _prompts(self, to_pls: AxisMap) -> CasePrompts:
        if self.key is None:
            source = self.setting.prompts.source
            self._trouble("prompts", f"{source} does not name it; its mask is empty")
            return CasePrompts({}, "PLS", {})
        raw, reading = self.setting.prompts.cases[self.key], self.setting.reading
        axis = reading.slice_axes.get(self.key, 2)
        prompts, problems = raw.place(to_pls.target_shape, reading.convention, axis)
        if raw.texts:
            depth, table = to_pls.target_shape[axis], self.setting.predictor.table
            prompts, lines = with_texts(prompts, raw, depth, reading.convention, table)
            problems = (*problems, *lines)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self._trouble("prompts", f"{problems[0]}{more}; repaired or left out")
        return prompts

    def _visible(self, loaded: Loaded) -> npt.NDArray[Any] | None:
        return None if loaded.seen is None else loaded.to_pls.apply(loaded.seen.array)

    def note(self, line: str) -> None:
        """Notes a line for users."""
        self.notes.append(textwrap.shorten(line, LONGEST_REASON, placeholder=" ..."))

    def trouble(self, line: str) -> None:
        """Notes what made the prediction worse."""
        self._trouble("prediction", line)

    def _trouble(
        self, stage: Stage, reason: Exception | str, more: str = "", *, has_mask: bool = True
    ) -> None:
        text = str(reason)
        if isinstance(reason, Exception) and not isinstance(
            reason, (NNUNetPromptError, DeadlineExceeded)
        ):
            text = f"{type(reason).__name__}: {text}"
        line = textwrap.shorten(text, LONGEST_REASON, placeholder=" ...") + more
        self.troubles.append(Trouble(self.case.case, stage, line, has_mask))
