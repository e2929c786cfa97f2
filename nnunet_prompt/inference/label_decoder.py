"""Labels from the logits of the structure heads, some slices at a time: `decode_structures` on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.merge import HIGHEST, STEP, LabelMap, label_type, ranks
from nnunet_prompt.inference.slab_chunks import Chunk, HeadResampler


@dataclass(frozen=True, slots=True, eq=False)
class LabelDecoder:
    """The structures that may appear: their heads, what priority adds to their scores, and their values."""

    heads: tuple[int, ...]
    bonus: tuple[float, ...]
    values: npt.NDArray[Any]  # 0, then one for each head

    def __call__(self, chunk: Chunk, resampler: HeadResampler) -> LabelMap:
        """Official values (n, Y, X) of the chunk's slices of the crop."""
        shape = resampler.how.new_shape
        low, high = chunk.span
        size, device = (high - low, *shape[1:]), chunk.logits.device
        best = torch.zeros(size, device=device)
        index = torch.zeros(size, dtype=torch.int16, device=device)
        for number, (head, bonus) in enumerate(zip(self.heads, self.bonus, strict=True), 1):
            found = resampler.above(chunk, head, 0.0)
            if found is None:
                continue
            box, logits = found
            here = (slice(None), *(slice(a, b) for a, b in box[1:]))
            score = logits.clamp(max=HIGHEST).add_(bonus)
            better = (logits > 0) & (score > best[here])
            best[here] = torch.where(better, score, best[here])
            index[here].masked_fill_(better, number)
        return np.asarray(self.values[index.cpu().numpy()])


def label_decoder(table: StructureTable, wanted: Sequence[str] = ()) -> LabelDecoder:
    """The decoder for structures of these names or values, or all. Raises `DatasetError` for an unknown one."""
    chosen = table.chosen(wanted)
    rank = ranks(table)
    official = [s.official for s in chosen]
    return LabelDecoder(
        tuple(s.label - 1 for s in chosen),
        tuple(STEP * rank.get(s.name, 0) for s in chosen),
        np.array([0, *official], label_type(official)),
    )
