"""The network's answer to one case of a challenge: in time, in the memory there is, and on the grid of its image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.low_memory import predict_in_memory, watched

Labels = npt.NDArray[Any]


class Record(Protocol):
    """What is noted of a case on its way: notes, troubles, which make a mask a degraded one, and tiles run."""

    tiles: int

    def note(self, line: str) -> None:
        """Notes a line for users."""

    def trouble(self, line: str) -> None:
        """Notes what made the mask worse."""


def ask_network(
    predictor: Predictor,
    ask: Callable[[Predictor], Labels],
    *,
    stop: Callable[[], None],
    shape: tuple[int, ...],
    record: Record,
) -> Labels:
    """The labels (X, Y, Z) that `ask` gets of the predictor, or of one that takes less memory, which is noted.

    `stop` is called before each batch of tiles and may raise to end it; tiles count even then. Raises `ImageError` for
    labels that have not `shape`, and what `predict_in_memory` raises.
    """
    with watched(predictor, stop) as watch:
        try:
            labels, used = predict_in_memory(predictor, ask)
        finally:
            record.tiles += watch.tiles
    if labels.shape != shape:
        raise ImageError(f"the prediction has shape {labels.shape}, not {shape}")
    if used is not None:
        line = f"there was too little memory; done {used.description}"
        record.note(line) if used.exact else record.trouble(line)
    return labels
