"""Parts in a network that is tuned: what is set before a site trains, what is read after it, and the adapter of both.

The network is the base + the part that is held + the part that trains. Of a convolution with LoRA the held part's
product is added to the frozen weight, and the part that trains is the low-rank term itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.federated.part import Factors, Part, layout_of
from nnunet_prompt.networks.adapter_file import Adapter
from nnunet_prompt.networks.lora import DOWN, ORIGINAL, UP
from nnunet_prompt.networks.tunable import Tuning, tuned_tensors


class TunedState:
    """The tunable state of a network as parts. Made when the network has the weights of the base, and nothing else.

    `tuning` is what the network was made tunable with.
    """

    def __init__(self, network: nn.Module, tuning: Tuning) -> None:
        self._tensors = tuned_tensors(network)
        if any(not t.is_floating_point() and t.ndim for t in self._tensors.values()):
            raise ModelError(
                "federated training: a tuned tensor holds whole numbers; use another trainer"
            )
        own = dict(network.named_parameters())
        self._layers = [n.removesuffix(UP) for n in self._tensors if n.endswith(UP)]
        self._weights = {n: own[n + ORIGINAL].detach() for n in self._layers}
        self._scales = {n: _scale(network, n) for n in self._layers}
        self._dense = [
            n
            for n, t in self._tensors.items()
            if not n.endswith((UP, DOWN)) and t.is_floating_point()
        ]
        self._base = {n: self._tensors[n].clone() for n in self._dense}
        self._base |= {n: w.clone() for n, w in self._weights.items()}
        self._tuning = tuning
        self._held = self.start(0)

    def start(self, seed: int) -> Part:
        """The part that changes nothing: the same at every site for the same seed, as `LowRank` begins."""
        rng = np.random.default_rng((seed, 7))
        dense = {n: np.zeros(self._base[n].shape, np.float32) for n in self._dense}
        low = {}
        for name in sorted(self._layers):
            up, down = self._tensors[name + UP], self._tensors[name + DOWN]
            bound = 1 / np.sqrt(down.shape[1])  # kaiming_uniform_ with a = sqrt(5)
            values = rng.uniform(-bound, bound, tuple(down.shape)).astype(np.float32)
            low[name] = Factors(np.zeros(tuple(up.shape), np.float32), values)
        return Part(dense, low)

    def set(self, trains: Part, held: Part | None = None) -> None:
        """Sets the network to the base and two parts; without `held` to the base and one.

        Raises `ModelError` for parts of another network.
        """
        held = self.start(0) if held is None else held
        self._check(trains, exactly=True)
        self._check(held, exactly=False)
        with torch.no_grad():
            for name in self._dense:
                both = self._base[name] + _tensor(held.dense[name]) + _tensor(trains.dense[name])
                self._tensors[name].copy_(both)
            for name in self._layers:
                change = torch.from_numpy(held.low[name].product.astype(np.float32))
                weight = self._weights[name]
                weight.copy_(self._base[name] + change.view(weight.shape))
                self._tensors[name + UP].copy_(_tensor(trains.low[name].up) / self._scales[name])
                self._tensors[name + DOWN].copy_(_tensor(trains.low[name].down))
        self._held = held

    def read(self) -> Part:
        """The part that trains, as it is now."""
        dense = {
            n: _array(
                self._tensors[n] - self._base[n] - _tensor(self._held.dense[n]).to(self._base[n])
            )
            for n in self._dense
        }
        low = {
            n: Factors(
                _array(self._tensors[n + UP] * self._scales[n]), _array(self._tensors[n + DOWN])
            )
            for n in self._layers
        }
        return Part(dense, low)

    def adapter(self, part: Part, like: Adapter) -> Adapter:
        """The adapter of the base that a part is, be it the sum of two; `like` is one of the same training.

        Its rank is then the sum of their ranks, at the same scale.
        """
        times = 1
        for name in self._layers:
            rank, own = part.low[name].up.shape[1], self._tensors[name + UP].shape[1]
            times = max(times, -(-rank // own))
        tuning = self._tuning
        if times > 1:
            tuning = replace(tuning, rank=tuning.rank * times, alpha=tuning.alpha * times)
        tensors: dict[str, Tensor] = {n: self._tensors[n].clone() for n in self._tensors}
        for name in self._dense:
            tensors[name] = self._base[name] + _tensor(part.dense[name])
        for name in self._layers:
            tensors[name + UP] = _tensor(part.low[name].up) / self._scales[name]
            tensors[name + DOWN] = _tensor(part.low[name].down)
        return replace(like, tuning=tuning, tensors=tensors)

    def _check(self, part: Part, *, exactly: bool) -> None:
        names = (sorted(part.dense), sorted(part.low))
        if names != (sorted(self._dense), sorted(self._layers)) or (
            exactly and layout_of(part) != layout_of(self.start(0))
        ):
            raise ModelError(
                "part: was made for another network or another trainer; start all sites from the same base with the"
                " same trainer"
            )


def _scale(network: nn.Module, layer: str) -> float:
    """What a layer's low-rank term is multiplied by."""
    module: Any = network.get_submodule(layer)
    return float(module.parametrizations.weight[0].scale)


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float32).numpy().copy()
