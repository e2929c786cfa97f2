"""Runs the network over a volume, tile by tile, with the prompts of several labels in one batch.

Volumes are on the network's grid, (C, Z, Y, X), preprocessed. Prompts are rasterised for each tile straight into the
batch; there is never a prompt tensor of the size of the volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE
from nnunet_prompt.prompts.encode import PromptStyle, Window, encode
from nnunet_prompt.prompts.model import PromptSet, Shape

NOTHING = -30.0  # the object's logit where no tile was run; its sigmoid is zero for all purposes
POSITIVE_CHANNELS = [MASK, BOX[0], POINT[0], SCRIBBLE[0]]


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A network and how it is slid over a volume.

    `patch_size` has two numbers for a 2d configuration, which goes slice by slice along axis 0. `mirror_axes` are
    spatial axes of the patch, as in nnU-Net's checkpoints. `max_batch` bounds the labels that share a forward pass.
    """

    network: nn.Module
    patch_size: tuple[int, ...]
    style: PromptStyle
    device: torch.device
    mirror_axes: tuple[int, ...] = ()
    step_size: float = 0.5
    max_batch: int = 4

    @torch.inference_mode()
    def objects(self, image: Tensor, prompts: Sequence[PromptSet]) -> Tensor:
        """Logits of the object head for each prompt set, (L, Z, Y, X), float32 on the CPU.

        A tile that sees nothing positive of a label is not run for it: the object is where it is pointed at.
        """
        sums = torch.zeros((len(prompts), *image.shape[1:]))
        weights = torch.zeros_like(sums)
        for window, tile in self._tiles(image):
            channels = [encode(p, window, self.style) for p in prompts]
            active = [i for i, c in enumerate(channels) if c[POSITIVE_CHANNELS].any()]
            for start in range(0, len(active), self.max_batch):
                chosen = active[start : start + self.max_batch]
                stack = torch.from_numpy(np.stack([channels[i] for i in chosen]))
                logits = self._run(tile, stack)[:, 0]  # (labels, *tile)
                for label, one in zip(chosen, logits, strict=True):
                    self._add(
                        one[None], window, sums[label : label + 1], weights[label : label + 1]
                    )
        # in the corner of a tile nnU-Net's Gaussian is below 1e-9: only what no tile has covered is zero
        return torch.where(weights > 0, sums / weights, NOTHING)

    @torch.inference_mode()
    def structures(self, image: Tensor) -> Tensor:
        """Logits of the structure heads without a prompt, (K, Z, Y, X), float32 on the CPU, in one pass."""
        sums: Tensor | None = None
        weights = torch.zeros((1, *image.shape[1:]))
        for window, tile in self._tiles(image):
            silence = torch.zeros((1, N_PROMPT_CHANNELS, *window.shape))
            logits = self._run(tile, silence)[0, 1:]  # (K, *tile)
            if sums is None:
                sums = torch.zeros((logits.shape[0], *image.shape[1:]))
            self._add(logits, window, sums, None)
            self._add(torch.ones_like(logits[:1]), window, weights, None)
        assert sums is not None  # a volume has at least one tile
        return sums / weights

    def _tiles(self, image: Tensor) -> Iterator[tuple[Window, Tensor]]:
        """Every tile of the full window: where it lies, and its image, zero outside the volume."""
        size = self._tile_shape()
        steps = [_steps(n, s, self.step_size) for n, s in zip(image.shape[1:], size, strict=True)]
        windows = [Window(_three(origin), size) for origin in itertools.product(*steps)]
        for window in tqdm(
            windows, desc="tiles", leave=False, disable=True if len(windows) < 16 else None
        ):
            yield window, _cut(image, window)

    def _tile_shape(self) -> Shape:
        return _three((1, *self.patch_size) if len(self.patch_size) == 2 else self.patch_size)

    def _run(self, tile: Tensor, prompts: Tensor) -> Tensor:
        """Logits (L, 1 + K, *tile) for one image tile (C, *tile) and the prompts of L labels (L, 7, *tile)."""
        images = tile[None].expand(len(prompts), *tile.shape)
        batch = torch.cat([images, prompts.to(tile.dtype)], dim=1).to(self.device)
        flat = len(self.patch_size) == 2
        batch = batch[:, :, 0] if flat else batch
        with torch.autocast("cuda", enabled=self.device.type == "cuda"):
            logits = self._mirrored(batch)
        logits = logits.float().cpu()
        return logits[:, :, None] if flat else logits

    def _mirrored(self, batch: Tensor) -> Tensor:
        """The mean over all flips along `mirror_axes`, prompts flipped with the image."""
        logits: Tensor = self.network(batch)
        axes = [a + 2 for a in self.mirror_axes]
        flips = [c for n in range(1, len(axes) + 1) for c in itertools.combinations(axes, n)]
        for flip in flips:
            logits = logits + torch.flip(self.network(torch.flip(batch, flip)), flip)
        return logits / (len(flips) + 1)

    def _add(self, logits: Tensor, window: Window, sums: Tensor, weights: Tensor | None) -> None:
        """Adds a tile, weighted by nnU-Net's Gaussian, where it lies inside the volume; in place."""
        importance = self._importance()
        inside, outside = [], []
        for o, n, size in zip(window.origin, window.shape, sums.shape[1:], strict=True):
            low, high = max(o, 0), min(o + n, size)
            inside.append(slice(low - o, high - o))
            outside.append(slice(low, high))
        here, there = (slice(None), *inside), (slice(None), *outside)
        sums[there] += logits[here] * importance[tuple(inside)]
        if weights is not None:
            weights[there] += importance[tuple(inside)]

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


def _steps(length: int, tile: int, step_size: float) -> list[int]:
    """First voxels of the tiles along one axis, nnU-Net's lattice; a short axis is padded on both sides."""
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    if length < tile:
        return [-((tile - length) // 2)]
    if tile == 1:  # slices of a 2d configuration
        return list(range(length))
    (steps,) = compute_steps_for_sliding_window((length,), (tile,), step_size)
    return [int(s) for s in steps]


def _cut(image: Tensor, window: Window) -> Tensor:
    """The part of the image under a window, zero where the window leaves the volume."""
    slices: list[slice] = []
    padding: list[int] = []
    for o, n, size in zip(window.origin, window.shape, image.shape[1:], strict=True):
        low, high = max(o, 0), min(o + n, size)
        slices.append(slice(low, high))
        padding = [low - o, o + n - high, *padding]  # torch pads the last axis first
    return nn.functional.pad(image[(slice(None), *slices)], padding)


def _three(values: Sequence[Any]) -> Shape:
    a, b, c = (int(v) for v in values)
    return a, b, c
