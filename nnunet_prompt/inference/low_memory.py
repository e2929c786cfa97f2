"""A prediction that runs out of memory is tried again with less, and one that runs out of time is stopped.

Both look at the predictor's `engine`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.memory import is_out_of_memory, release

HALVINGS = 2  # of the tiles along each axis, one after the other
Result = TypeVar("Result")


class DeadlineExceeded(Exception):
    """The time for a case is over. No `NNUNetPromptError`, which some take for an image that they can do without."""


@dataclass(frozen=True, slots=True, eq=False)
class Lighter:
    """A predictor that takes less memory; `exact` if it answers the same but for rounding."""

    description: str
    predictor: Predictor
    exact: bool


@dataclass(slots=True)
class Watch:
    """How many tiles have gone through the network, each counted once however often it was mirrored."""

    samples: int = 0
    per_tile: int = 1

    @property
    def tiles(self) -> int:
        return self.samples // self.per_tile


def predict_in_memory(
    predictor: Predictor, ask: Callable[[Predictor], Result]
) -> tuple[Result, Lighter | None]:
    """Calls `ask` with the predictor, or with the first lighter one for which memory suffices, which is returned, too.

    Raises `MemoryError` if it suffices for none, and any other error of `ask` at once.
    """
    try:
        return ask(predictor), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    tried = ["as it is"]  # out of the handler: the error holds on to all that was in memory
    with closing(lighter(predictor)) as variants:
        for variant in variants:
            release()
            try:
                return ask(variant.predictor), variant
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            tried.append(variant.description)
    release()
    raise MemoryError(f"there is too little, tried {', '.join(tried)}")


def lighter(predictor: Predictor) -> Generator[Lighter, None, None]:
    """Variants of a predictor that take less and less memory: single tiles, smaller tiles, then the CPU.

    They share its network. Close the generator when one will do: on the CPU the network lies there until then.
    """
    engine = predictor.engine
    if engine.max_batch > 1:
        yield Lighter("with one tile at a time", _with(predictor, max_batch=1), True)
    patches = list(_smaller_patches(predictor))
    for patch in patches:
        one = _with(predictor, max_batch=1, patch_size=patch)
        yield Lighter(f"with tiles of {_size(patch)}", one, False)
    if engine.device.type == "cpu":
        return
    with _on_cpu(predictor) as changes:
        yield Lighter("on the CPU", _with(predictor, **changes), True)
        for patch in patches:
            one = _with(predictor, **changes, patch_size=patch)
            yield Lighter(f"on the CPU with tiles of {_size(patch)}", one, False)


def without_mirroring(predictor: Predictor) -> Predictor:
    """The same predictor, each tile run once; the predictor itself where that is so anyway."""
    return _with(predictor, mirror_axes=()) if passes_per_tile(predictor) > 1 else predictor


def passes_per_tile(predictor: Predictor) -> int:
    """How often mirroring lets a tile through the network; once without."""
    return int(2 ** len(predictor.engine.mirror_axes))


@contextmanager
def watched(predictor: Predictor, stop: Callable[[], None]) -> Iterator[Watch]:
    """Calls `stop` before each batch of tiles, which may raise to end the prediction, and counts the tiles."""
    watch = Watch(per_tile=passes_per_tile(predictor))  # the first fold counts for all

    def look(network: Any, inputs: tuple[Any, ...]) -> None:
        stop()
        watch.samples += len(inputs[0])

    hook = predictor.engine.network.register_forward_pre_hook(look)
    try:
        yield watch
    finally:
        hook.remove()


@contextmanager
def _on_cpu(predictor: Any) -> Iterator[dict[str, Any]]:
    """The networks on the CPU, and what changes in the engine; back on their device afterwards."""
    import torch

    engine = predictor.engine
    networks = (engine.network, *engine.ensemble)
    changes = {"device": torch.device("cpu"), "max_batch": 1}
    try:
        for network in networks:
            network.cpu()
        yield changes
    finally:
        release()
        try:
            for network in networks:
                network.to(engine.device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            for network in networks:  # somebody else has taken the room: here they stay
                network.cpu()
            predictor.engine = replace(engine, **changes)


def _smaller_patches(predictor: Any) -> Iterator[tuple[int, ...]]:
    """Tiles of half the size along each axis, and of half that; none where the network's strides are not known.

    The lowest level of the network keeps at least two voxels along each axis, for its normalisation needs several.
    """
    patch: tuple[int, ...] = predictor.engine.patch_size
    try:
        strides = predictor.model.configuration.pool_op_kernel_sizes
        steps = [math.prod(int(row[axis]) for row in strides) for axis in range(len(patch))]
    except (AttributeError, KeyError, TypeError, IndexError):
        return
    for _ in range(HALVINGS):
        half = tuple(
            min(n, max(-(-(n // 2) // step), 2) * step)
            for n, step in zip(patch, steps, strict=True)
        )
        if half == patch:
            return
        patch = half
        yield patch


def _with(predictor: Any, **changes: Any) -> Any:
    """The predictor with another engine, its model shared."""
    other = copy.copy(predictor)
    other.engine = replace(predictor.engine, **changes)
    return other


def _size(patch: Sequence[int]) -> str:
    return " x ".join(map(str, patch))
