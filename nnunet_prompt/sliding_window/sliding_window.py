"""Runs the network over a volume, tile by tile, with the prompts of several labels in one batch.

Volumes are on the network's grid, preprocessed. Prompts are rasterised for each tile straight into the batch; there is
never a prompt tensor of the size of the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnunet_prompt.common.log import progress
from nnunet_prompt.prompts.channels import BOX, MASK, POINT, SCRIBBLE
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import PromptStyle, Window
from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.sliding_window.canvas import Canvas, LabelLogits
from nnunet_prompt.sliding_window.device_tiles import FarGroup, Group, NearGroup
from nnunet_prompt.sliding_window.forward import mean_logits
from nnunet_prompt.sliding_window.grid_prompts import GridPrompts
from nnunet_prompt.sliding_window.lazy_image import DenseImage, GridImage
from nnunet_prompt.sliding_window.rolling import Slab
from nnunet_prompt.sliding_window.structure_pass import StructurePass, TileCount
from nnunet_prompt.sliding_window.tile_cache import Key, TileCache
from nnunet_prompt.sliding_window.tile_plan import plan_tiles
from nnunet_prompt.sliding_window.tiles import (
    Boxes,
    Tiling,
    clipped,
    cover,
    on_lattice,
)

POSITIVE_CHANNELS = [MASK, BOX[0], POINT[0], SCRIBBLE[0]]
WindowMode = Literal["prompted", "full"]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One tile to run for one prompt set, named by its `index` among those asked for.

    `carried` is a mask that the network is shown beside the prompts.
    """

    index: int
    window: Window
    carried: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A network and how it is slid over a volume.

    `patch_size` has two numbers for a 2d configuration, which goes slice by slice along axis 0. `mirror_axes` are
    spatial axes of the patch, as in nnU-Net's checkpoints. `max_batch` bounds the tiles that share a forward pass.
    `ensemble` are further networks, one per fold, whose logits are averaged with those of `network`. `growth` bounds
    the rounds in which tiles are added where a mask touches the border of what was computed. `bfloat16` is for the
    CPU (see `mean_logits`). `skip_single` is for structures: tiles of a single value are run once (`structure_pass`).
    """

    network: nn.Module
    patch_size: tuple[int, ...]
    style: PromptStyle
    device: torch.device
    mirror_axes: tuple[int, ...] = ()
    step_size: float = 0.5
    max_batch: int = 4
    ensemble: tuple[nn.Module, ...] = ()
    growth: int = 8
    bfloat16: bool = False
    skip_single: bool = True

    @torch.inference_mode()
    def find(
        self,
        image: GridImage,
        prompts: Sequence[PromptSet | GridPrompts],
        *,
        window: WindowMode = "prompted",
        limits: Sequence[Boxes] = (),
        cache: TileCache | None = None,
        known: Sequence[Sequence[Window]] = (),
    ) -> list[LabelLogits]:
        """The object head's logits for each prompt set, where its prompts lie.

        A tile that sees nothing positive of a set is not run for it. "full" runs every other tile of the full window;
        "prompted" as few as hold the prompts (see `plan_tiles`, also for `known`). Then it adds tiles where the mask
        touches the border of what was computed, breadth first, inside `limits` (one box (1, 3, 2) per set, if given),
        each shown the mask so far in its mask channel. No set gets more tiles than the full window has.
        """
        tiling = Tiling(image.shape, self._tile_shape(), self.step_size)
        said = [p if isinstance(p, GridPrompts) else GridPrompts(p) for p in prompts]
        boxes = [p.boxes(self.style) for p in said]
        if window == "full":
            windows = [on_lattice(b, tiling) for b in boxes]
        else:
            outlined = [any(b.positive for b in p.prompts.boxes) for p in said]
            windows = plan_tiles(boxes, tiling, known, outlined=outlined)
        canvases = [Canvas(image.shape) for _ in said]
        for canvas, own in zip(canvases, windows, strict=True):
            canvas.reserve(own)
        tiles = [Tile(index, w) for index, own in enumerate(windows) for w in own]
        self._run(image, tiles, said, canvases, cache)
        first = [len(c.windows) for c in canvases]
        for _ in range(self.growth if window == "prompted" else 0):
            tiles = self._next(tiles, canvases, tiling, limits)
            if not tiles:
                break
            self._run(image, tiles, said, canvases, cache)
        return [c.label_logits(n, w) for c, n, w in zip(canvases, first, windows, strict=True)]

    def objects(self, image: Tensor, prompts: Sequence[PromptSet]) -> Tensor:
        """Logits of the object head for each prompt set, (L, Z, Y, X), float32 on the CPU, from the full window.

        A tile that sees nothing positive of a label is not run for it: the object is where it is pointed at.
        """
        dense = DenseImage(image)
        logits = torch.empty((len(prompts), *dense.shape))
        for target, found in zip(logits, self.find(dense, prompts, window="full"), strict=True):
            target[...] = found.whole(dense.shape)
        return logits

    @torch.inference_mode()
    def structures(self, image: Tensor) -> Tensor:
        """Logits of the structure heads without a prompt, (K, Z, Y, X), float32 on the CPU, in one pass."""
        dense = DenseImage(image)
        slabs = [slab.logits for slab in self.structure_slabs(dense, torch.device("cpu"))]
        return torch.cat(slabs, 1)

    def structure_slabs(
        self,
        image: DenseImage,
        sums: torch.device,
        count: TileCount | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[Slab]:
        """The same, slab by slab along Z on the device `sums`; none is kept. `count` adds up tiles.

        Means of tiles are kept in `dtype`: in 16 bits a logit is off by a thousandth of itself.
        """
        one = StructurePass(
            (self.network, *self.ensemble),
            self.patch_size,
            self.device,
            self._importance().to(sums),
            self.mirror_axes,
            self.step_size,
            self.max_batch,
            self.bfloat16,
            self.skip_single,
            dtype,
        )
        return one.run(image, TileCount() if count is None else count)

    def _run(
        self,
        image: GridImage,
        tiles: Sequence[Tile],
        prompts: Sequence[GridPrompts],
        canvases: Sequence[Canvas],
        cache: TileCache | None,
    ) -> None:
        """Runs the jobs that see something positive and adds what they answer to their labels' canvases."""
        importance = self._importance()
        for tile, logits in self._answers(image, tiles, prompts, cache):
            canvases[tile.index].add(logits[None], tile.window, importance)

    def _answers(
        self,
        image: GridImage,
        tiles: Sequence[Tile],
        prompts: Sequence[GridPrompts],
        cache: TileCache | None,
    ) -> Iterator[tuple[Tile, Tensor]]:
        """The object's logits (*tile) of each job that sees something positive, tile by tile."""
        batch = min(self.max_batch, len(tiles))
        make = NearGroup if self.device.type == "cpu" else FarGroup
        group = make(image, self._tile_shape(), batch, self.device)
        waiting: list[tuple[Tile, Key | None]] = []
        for tile in _progress(sorted(tiles, key=lambda tile: (tile.window.origin, tile.index))):
            shown = group.room()
            if not self._draw(tile, prompts[tile.index], shown):
                continue
            key = None if cache is None else cache.key(tile.window, shown)
            kept = None if cache is None or key is None else cache.get(key)
            if kept is not None:
                yield from self._flush(group, waiting, cache)  # tiles are added up in their order
                yield tile, kept
                continue
            group.add(tile.window)
            waiting.append((tile, key))
            if group.full:
                yield from self._flush(group, waiting, cache)
        yield from self._flush(group, waiting, cache)

    def _flush(
        self, group: Group, waiting: list[tuple[Tile, Key | None]], cache: TileCache | None
    ) -> Iterator[tuple[Tile, Tensor]]:
        """Runs the tiles that wait; `group` and `waiting` are empty afterwards."""
        done = list(waiting)
        waiting.clear()
        for (tile, key), one in zip(done, group.run(self._object), strict=True):
            if cache is not None and key is not None:
                cache.put(key, one.clone())
            yield tile, one

    def _draw(self, tile: Tile, prompts: GridPrompts, out: npt.NDArray[np.float32]) -> bool:
        """Rasterises what a tile is shown; False if nothing of it is positive."""
        prompts.encode(tile.window, self.style, out)
        if tile.carried is not None:
            np.maximum(out[MASK], tile.carried, out=out[MASK])
        return any(out[channel].any() for channel in POSITIVE_CHANNELS)

    def _next(
        self,
        tiles: Sequence[Tile],
        canvases: Sequence[Canvas],
        tiling: Tiling,
        limits: Sequence[Boxes],
    ) -> list[Tile]:
        """The tiles to add next to those just run, where a mask touches their border."""
        most = len(tiling.lattice())
        grown = []
        for index, canvas in enumerate(canvases):
            boxes = canvas.beyond([tile.window for tile in tiles if tile.index == index])
            if limits:
                boxes = clipped(boxes, limits[index][0])
            windows = [w for w in cover(boxes, tiling) if w not in canvas.windows]
            windows = windows[: max(most - len(canvas.windows), 0)]
            canvas.reserve(windows)
            grown += [Tile(index, w, canvas.mask(w)) for w in windows]
        return grown

    def _tile_shape(self) -> Shape:
        z, y, x = (1, *self.patch_size) if len(self.patch_size) == 2 else self.patch_size
        return z, y, x

    def _object(self, batch: Tensor) -> Tensor:
        """Logits (B, *tile) of the object head, float32 on the network's device; the mean over the folds."""
        flat = len(self.patch_size) == 2
        networks = (self.network, *self.ensemble)
        shown = batch[:, :, 0] if flat else batch
        logits = mean_logits(networks, shown, self.mirror_axes, 1, bfloat16=self.bfloat16)
        return logits if flat else logits[:, 0]

    def _importance(self) -> Tensor:
        from nnunetv2.inference.sliding_window_prediction import compute_gaussian

        gaussian: Tensor = compute_gaussian(
            tuple(self.patch_size),
            sigma_scale=1.0 / 8,
            value_scaling_factor=10,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        return gaussian.reshape(self._tile_shape())


def _progress(items: Sequence[Item]) -> Iterator[Item]:
    return progress(items, "tiles", unit="it", leave=False, hidden=len(items) < 16)
