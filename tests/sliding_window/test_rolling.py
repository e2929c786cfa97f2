"""The rolling window is the weighted mean of all tiles, and never as large as the volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from nnunet_prompt.inference.slab_chunks import chunks
from nnunet_prompt.prompts.encode import PromptStyle, Window
from nnunet_prompt.sliding_window.canvas import Canvas
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from nnunet_prompt.sliding_window.resampling import Resampler
from nnunet_prompt.sliding_window.rolling import Slab, rolling
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.sliding_window.structure_pass import TileCount, _single_values
from nnunet_prompt.sliding_window.tiles import Tiling
from tests.helpers.each import each

CPU = torch.device("cpu")
SHAPES = [
    ((23, 14, 9), (4, 6, 6)),
    ((3, 14, 9), (8, 6, 6)),
    ((5, 5, 5), (1, 4, 4)),
    ((8, 6, 6),) * 2,
]


@each(("shape", "tile"), SHAPES)
@each("step", [0.5, 1.0, 0.3])
@each("at_once", [1, 10_000])
def test_as_a_canvas_of_the_whole_volume(
    shape: Any, tile: Any, step: float, at_once: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr("nnunet_prompt.sliding_window.rolling.AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    windows = Tiling(shape, tile, step).lattice()
    logits = {w: torch.randn((2, *tile), generator=generator) for w in windows}
    importance = torch.rand(tile, generator=generator) + 0.1
    canvas = Canvas(shape, 2)
    canvas.reserve(windows)
    for w in windows:
        canvas.add(logits[w], w, importance)
    expected = canvas.logits()

    def answers(row: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
        assert len({w.origin[0] for w in row}) == 1
        yield from ((w, logits[w]) for w in reversed(row))

    slabs = list(rolling(shape, windows, answers, importance))
    assert [s.start for s in slabs] == [0, *(s.stop for s in slabs[:-1])]
    assert slabs[-1].stop == shape[0]
    assert max(s.logits.shape[1] for s in slabs) <= (1 if at_once == 1 else tile[0])
    assert torch.allclose(torch.cat([s.logits for s in slabs], 1), expected, atol=1e-5)


class Counts(nn.Module):
    """Structures that depend on the image and on the place in the tile; counts tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = 0

    def forward(self, x: Tensor) -> Tensor:
        self.tiles += len(x)
        image = x[:, :1]
        ramp = torch.linspace(-1, 1, x.shape[-1]).expand_as(image)
        return torch.cat([image, image + ramp, image * ramp], 1)


@each("value", [0.0, -1.7])
@each("batch", [1, 3])
def test_tiles_of_one_value_are_run_once(value: float, batch: int) -> None:
    """Half of the volume has one value: what is skipped changes nothing."""
    image = torch.randn((1, 12, 24, 20), generator=torch.Generator().manual_seed(0))
    image[:, :, 10:] = value
    found = []
    for skip in (True, False):
        network = Counts().eval()
        engine = Engine(network, (6, 8, 8), PromptStyle(), CPU, max_batch=batch, skip_single=skip)
        count = TileCount()
        slabs = [s.logits for s in engine.structure_slabs(DenseImage(image), CPU, count)]
        found.append(torch.cat(slabs, 1))
        assert network.tiles == count.tiles - count.skipped
        assert count.skipped > 10 if skip else count.skipped == 0
    assert torch.allclose(*found, atol=1e-6)


def test_noise_is_not_one_value() -> None:
    image = DenseImage(1e-3 * torch.randn((1, 12, 24, 20)))
    count = TileCount()
    engine = Engine(Counts().eval(), (6, 8, 8), PromptStyle(), CPU)
    assert len(list(engine.structure_slabs(image, CPU, count))) == 3
    assert count.skipped == 0


def test_two_channels_must_both_have_one_value() -> None:
    image = torch.zeros((2, 6, 8, 40))
    image[1] = torch.randn((6, 8, 40))
    count = TileCount()
    engine = Engine(Counts().eval(), (6, 8, 8), PromptStyle(), CPU)
    list(engine.structure_slabs(DenseImage(image), CPU, count))
    assert count.skipped == 0


@each("shape", [(20, 14, 9), (3, 14, 9)])
def test_a_tile_of_one_value_in_the_padding_too(shape: Any) -> None:
    """What lies outside of the volume is zero: a tile of ones that leaves it has two values."""
    found = _single_values(
        DenseImage(torch.ones(1, *shape)), Tiling(shape, (8, 8, 8), 0.5).lattice()
    )
    padded = shape[0] < 8
    assert not found if padded else set(found.values()) == {(1.0,)}


def test_slabs_are_not_kept_while_tiles_run() -> None:
    """No more than sums and a halo lie in memory while the network is asked."""
    shape, tile = (32, 8, 8), (8, 8, 8)
    windows = Tiling(shape, tile, 0.5).lattice()
    alive: list[StorageWeakRef] = []

    def answers(row: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
        assert all(one.expired() for one in alive)
        yield from ((w, torch.zeros(2, *tile)) for w in row)

    def watched() -> Iterator[Slab]:
        for slab in rolling(shape, windows, answers, torch.ones(tile)):
            alive.append(StorageWeakRef(slab.logits.untyped_storage()))
            yield slab
            del slab

    a, b, c = (np.eye(n) for n in shape)
    how = Resampler(shape, shape, (a, b, c), None, clips=False)
    spans = []
    for chunk in chunks(watched(), how, 100):
        spans.append(chunk.span)
        del chunk
    assert len(alive) > 3 and spans[0][0] == 0 and spans[-1][1] == 32
