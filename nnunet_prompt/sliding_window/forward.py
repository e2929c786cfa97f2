"""The forward pass: one network per fold, mirrored, and as the device runs it fastest."""

from __future__ import annotations

import copy
import itertools
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (nn.functional.conv2d, nn.functional.conv3d)
IN_PARTS = 250_000  # voxels that a convolution on the CPU takes at a time


def networks(
    network: nn.Module, folds: Sequence[Mapping[str, Tensor]], device: torch.device
) -> tuple[nn.Module, ...]:
    """One network for each fold, given its weights, on a device; on the CPU they share the memory of the weights.

    A single fold is `network` itself, which has its weights already. With `nnUNet_compile` set to true, as for
    nnU-Net's predictor, they are compiled by torch.
    """
    if len(folds) == 1:
        return (_compiled(network),)
    found = []
    for weights in folds:
        own = copy.deepcopy(network)
        there = {
            k: v.to(device, torch.float32 if v.is_floating_point() else v.dtype)
            for k, v in weights.items()
        }
        own.load_state_dict(there, assign=True)
        found.append(_compiled(own))
    return tuple(found)


def mean_logits(
    folds: Sequence[nn.Module],
    batch: Tensor,
    mirror_axes: Sequence[int] = (),
    heads: int | None = None,
    *,
    bfloat16: bool = False,
) -> Tensor:
    """Logits (B, 1 + K, *patch), or of the first `heads`, float32 on the device of `batch`: the mean over the folds.

    Each is the mean over all flips along `mirror_axes` (spatial axes), the prompts flipped with the image. CUDA runs
    under autocast, as nnU-Net does; `bfloat16` lets the CPU do so, which is faster where it has the instructions, and
    changes logits by some hundredths.
    """
    total: Tensor | None = None
    for network in folds:
        with _fastest(network, batch.device.type, bfloat16=bfloat16):
            logits = _mirrored(network, batch, mirror_axes, heads).float()
        total = logits if total is None else total + logits
    assert total is not None  # a model has at least one fold
    return total / len(folds) if len(folds) > 1 else total


class _Convolutions(TorchFunctionMode):
    """Within it the convolutions of a network are those of `convolution`."""

    def convolution(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """What torch's function `func` computes of its arguments."""
        raise NotImplementedError

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = kwargs or {}
        if func in CONVOLUTIONS:
            return self.convolution(func, args, given)
        return func(*args, **given)


class OneDNN(_Convolutions):
    """Convolutions in 32 bits on the CPU by oneDNN, always.

    torch leaves a convolution with few channels and slices to its own loops, by a rule that does not count the last
    axis (`use_mkldnn` of aten/src/ATen/native/Convolution.cpp): flat patches then take up to four times as long.
    """

    def convolution(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if len(args) == 7 and not kwargs:
            image, weight, bias, stride, padding, dilation, groups = args
            if image.dtype == weight.dtype == torch.float32 and not isinstance(padding, str):
                return _convolution(image, weight, bias, stride, padding, dilation, groups)
        return func(*args, **kwargs)


class Bfloat16(_Convolutions):
    """torch's bfloat16 on the CPU, but for the first and the last convolution, which stay in 32 bits.

    They take little of the time, and rounding the image and the answer makes two thirds of the error.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        kinds = (nn.Conv2d, nn.Conv3d)
        layers = [m for m in network.modules() if isinstance(m, kinds)]
        self.exact = {id(m.weight) for m in (layers[:1] + layers[-1:])}
        self.cast = torch.autocast("cpu", dtype=torch.bfloat16)

    def __enter__(self) -> Bfloat16:
        self.cast.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.cast.__exit__(*error)

    def convolution(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        if len(args) > 1 and id(args[1]) in self.exact:
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **kwargs)
        return func(*args, **kwargs)


def _convolution(
    image: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """oneDNN's convolution, some slices of axis 0 at a time where the image is large.

    It brings image and answer to a layout of its own, with channels in blocks of 16, and those copies of a few channels
    are larger than both.
    """
    depth, margin = image.shape[2], int(weight.shape[2]) // 2
    plain = image.ndim == 5 and stride[0] == dilation[0] == 1 and padding[0] == margin
    voxels = math.prod(image.shape[2:])
    count = voxels // IN_PARTS if plain and weight.shape[2] % 2 else 1
    if count < 2:
        return torch.mkldnn_convolution(
            image.contiguous(), weight, bias, padding, stride, dilation, groups
        )
    step = -(-depth // count)
    parts = None
    for low in range(0, depth, step):
        high = min(low + step, depth)
        first, last = low - margin, high + margin
        part = image[:, :, max(first, 0) : min(last, depth)]
        part = nn.functional.pad(part, (0, 0, 0, 0, max(-first, 0), max(last - depth, 0)))
        found = torch.mkldnn_convolution(
            part.contiguous(), weight, bias, [0, *padding[1:]], stride, dilation, groups
        )
        if parts is None:
            parts = found.new_empty((*found.shape[:2], depth, *found.shape[3:]))
        parts[:, :, low:high] = found
    assert parts is not None
    return parts


def _fastest(network: nn.Module, device: str, *, bfloat16: bool) -> AbstractContextManager[Any]:
    if device == "cuda":
        return torch.autocast("cuda")
    if device != "cpu":
        return nullcontext()
    if bfloat16:
        return Bfloat16(network)
    # compiled networks choose for themselves, and other processors' oneDNN has only its slow reference in 3d
    available: Any = torch.backends.mkldnn.is_available
    intel = platform.machine().lower() in ("x86_64", "amd64") and available()
    return OneDNN() if intel and not _compile_wanted() else nullcontext()


def _mirrored(
    network: nn.Module, batch: Tensor, mirror_axes: Sequence[int], heads: int | None
) -> Tensor:
    logits: Tensor = network(batch)[:, :heads]
    axes = [a + 2 for a in mirror_axes]
    flips = [c for n in range(1, len(axes) + 1) for c in itertools.combinations(axes, n)]
    for flip in flips:
        logits = logits + torch.flip(network(torch.flip(batch, flip))[:, :heads], flip)
    return logits / (len(flips) + 1) if flips else logits


def _compiled(network: nn.Module) -> nn.Module:
    compiled: nn.Module = torch.compile(network) if _compile_wanted() else network  # type: ignore[assignment]
    return compiled


def _compile_wanted() -> bool:
    return os.environ.get("nnUNet_compile", "").lower() in ("true", "1", "t")
