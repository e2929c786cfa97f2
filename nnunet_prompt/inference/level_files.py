"""Probability maps of a case on disk while they are made, slice by slice: in memory there are a few slices of each."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from nnunet_prompt.inference.slab_chunks import Chunk, HeadResampler
from nnunet_prompt.io.probability_file import WHOLE
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.frames import AxisMap

LOWEST = -6.3  # a logit below which 255 p rounds to zero
Levels = npt.NDArray[np.uint8]


class LevelFiles:
    """One map (uint8, file frame) per key in a file without a name, which is gone when it is closed.

    `heads` are the labels 1..K of the structures behind each key, of which the highest counts.
    """

    def __init__(self, folder: Path, heads: Mapping[str, Sequence[int]], shape: Shape) -> None:
        self.heads, self.shape = heads, shape
        self._files: dict[str, IO[bytes]] = {}
        try:
            for key in heads:
                self._files[key] = tempfile.TemporaryFile(dir=folder)
                self._files[key].truncate(int(np.prod(shape)))
        except BaseException:
            self.close()
            raise

    @property
    def keys(self) -> Sequence[str]:
        return list(self.heads)

    def levels(self, key: str) -> Levels:
        """The map of a key, 0 where nothing was written; changes go to its file."""
        found: Any = np.memmap(self._files[key], np.uint8, "r+", shape=self.shape, order="F")
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


@dataclass(frozen=True, slots=True, eq=False)
class LevelDecoder:
    """round(255 p) of some slices of the crop, for each key the highest of its heads."""

    heads: Sequence[Sequence[int]]

    def __call__(self, chunk: Chunk, resampler: HeadResampler) -> Levels:
        """(keys, n, Y, X)."""
        shape = (chunk.span[1] - chunk.span[0], *resampler.how.new_shape[1:])
        device = chunk.logits.device
        levels = torch.zeros((len(self.heads), *shape), dtype=torch.uint8, device=device)
        for target, labels in zip(levels, self.heads, strict=True):
            for label in labels:
                found = resampler.above(chunk, label - 1, LOWEST)
                if found is None:
                    continue
                box, logits = found
                here = (slice(None), *(slice(a, b) for a, b in box[1:]))
                value = logits.sigmoid_().mul_(WHOLE).round_().to(torch.uint8)
                target[here] = torch.maximum(target[here], value)
        return np.asarray(levels.cpu().numpy())


def as_levels(logits: npt.NDArray[np.floating[Any]], _: AxisMap) -> Levels:
    """round(255 p) of the highest of logits (L, ...), as what `Grid.paste` decodes with."""
    highest = np.asarray(logits, np.float32).max(0)
    return np.asarray(np.rint(WHOLE * expit(highest)), np.uint8)
