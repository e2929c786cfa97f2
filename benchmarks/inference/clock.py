"""The measurements of the sides of the inference benchmark: seconds by part, forward passes, and a case's files."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

PARTS = ("read", "preprocess", "network", "export")


@dataclass(frozen=True, slots=True)
class Case:
    """The files of one case, and where a side writes its mask."""

    images: tuple[Path, ...]
    prompts: Path
    mask: Path

    def given(self) -> Any:
        """The prompts, made before the clock starts."""
        return pickle.loads(self.prompts.read_bytes())


@dataclass(slots=True)
class Clock:
    """Seconds by part, and the forward passes of a network."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    tiles: int = 0
    forward: float = 0.0
    _began: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        synchronize()
        self.seconds[name] += time.perf_counter() - began

    def watch(self, network: Any) -> list[Any]:
        """Counts the tiles of a network and the time that it takes for them."""

        def before(module: Any, inputs: Any) -> None:
            synchronize()
            self._began = time.perf_counter()

        def after(module: Any, inputs: Any, output: Any) -> None:
            synchronize()
            self.forward += time.perf_counter() - self._began
            self.tiles += len(inputs[0])

        return [network.register_forward_pre_hook(before), network.register_forward_hook(after)]

    def found(self) -> dict[str, Any]:
        return {"parts": self.seconds, "tiles": self.tiles, "forward": self.forward}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def warm_up() -> None:
    """Imports the modules that the sides import lazily."""
    import scipy.ndimage  # noqa: F401
    import skimage.transform  # noqa: F401
    from nnunetv2.inference import export_prediction  # noqa: F401
    from nnunetv2.preprocessing.resampling import default_resampling  # noqa: F401


class Stopwatch:
    """The seconds of a method, all calls together."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method, self.seconds = method, 0.0

    def timed(self) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return self.method(*args, **options)
            finally:
                synchronize()
                self.seconds += time.perf_counter() - began

        return call


@contextmanager
def watched(clock: Clock, network: Any) -> Iterator[None]:
    handles = clock.watch(network)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
