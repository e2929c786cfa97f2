"""A network that learns a support set: made tunable, trained step by step, asked without prompts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.batches import batches
from nnunet_prompt.learn.support import Support, SupportCase
from nnunet_prompt.networks.adapted import load_trunk
from nnunet_prompt.networks.adapter_file import Adapter, apply_adapter, base_sha256
from nnunet_prompt.networks.network import network_of
from nnunet_prompt.networks.tensor_names import SEG_LAYERS
from nnunet_prompt.networks.tunable import (
    Method,
    Tuning,
    keep_statistics,
    make_tunable,
    tuned_tensors,
)
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.training.loss import PromptLoss


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of adapter and its learning rates: of what it tunes, and of the output layers."""

    method: Method
    rate: float
    head_rate: float

    @property
    def tuning(self) -> Tuning:
        return Tuning(self.method)


# the first is taken where nothing can be left out
KINDS: Final = (
    Kind("decoder", 3e-3, 1e-2),
    Kind("lora", 5e-3, 1e-2),
    Kind("affine", 1e-2, 1e-2),
)
POWER = 0.9  # of nnU-Net's polynomial schedule
WARM_UP = 10  # iterations until the full learning rate


class Student:
    """A network in training on some cases of a support. Its state is a function of its arguments and the steps taken.

    The rates fall to zero over `iterations` steps, as nnU-Net's do.
    """

    def __init__(
        self,
        support: Support,
        cases: Sequence[SupportCase],
        model: LoadedModel,
        *,
        kind: Kind,
        iterations: int,
        seed: int,
    ) -> None:
        np.random.seed(seed)  # noqa: NPY002 - nnU-Net's loaders draw from the global state
        torch.manual_seed(seed)
        self.kind, self.iterations, self.model, self.support = kind, iterations, model, support
        self.network = start_network(support, cases, model)
        self.base_sha256 = base_sha256(self.network)
        make_tunable(self.network, kind.tuning)
        self.done = 0
        self._loss = PromptLoss()
        self._batches: Iterator[tuple[Tensor, Tensor]] = batches(support, cases, model)
        self._optimizer = _optimizer(self.network, kind)

    def step(self) -> float:
        """Trains on one batch and returns its loss."""
        self.network.train()
        keep_statistics(self.network)
        data, target = next(self._batches)
        rate = _schedule(self.done, self.iterations)
        for group in self._optimizer.param_groups:
            group["lr"] = group["full"] * rate
        self._optimizer.zero_grad()
        where = self.model.device
        loss: Tensor = self._loss(self.network(data.to(where)), target.to(where))
        loss.backward()  # type: ignore[no-untyped-call]
        trained = [p for p in self.network.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trained, 12.0)  # as nnU-Net
        self._optimizer.step()
        self.done += 1
        return float(loss.detach())

    def resume(self, adapter: Adapter) -> None:
        """Starts from an adapter of the same kind and base. Raises `ModelError` for one that does not fit."""
        apply_adapter(adapter, tuned_tensors(self.network), source=Path("the adapter to resume"))

    def go_on_from(self, earlier: Student) -> None:
        """Starts from what another student of the same kind and support has learned."""
        with torch.no_grad():
            learned = tuned_tensors(earlier.network)
            for name, tensor in tuned_tensors(self.network).items():
                tensor.copy_(learned[name])

    def dice(self, case: SupportCase) -> float:
        """The mean Dice over the structures that a case shows, without prompts, on the grid of the model."""
        self.network.eval()
        return case_dice(self.engine(), case, self.support)

    def engine(self) -> Engine:
        """The network as prediction slides it over a volume, without mirroring."""
        return engine_of(self.network, self.model)


def engine_of(network: nn.Module, model: LoadedModel) -> Engine:
    """A network of a model's plans as prediction slides it over a volume, without mirroring."""
    return Engine(
        network=network,
        patch_size=tuple(int(n) for n in model.configuration.patch_size),
        style=model.capability.style(),
        device=model.device,
    )


def case_dice(engine: Engine, case: SupportCase, support: Support) -> float:
    """The mean Dice over the structures that a case shows, without prompts, on the grid of the model."""
    logits = engine.structures(case.image)
    known = case.labels != len(support.table.structures) + 1  # the ignore label
    found = []
    for s in support.table.structures:
        reference, mask = case.labels == s.label, (logits[s.label - 1] > 0).numpy() & known
        if reference.any():
            shared = np.count_nonzero(reference & mask)
            found.append(2 * shared / (np.count_nonzero(reference) + np.count_nonzero(mask)))
    return float(np.mean(found)) if found else math.nan


def start_network(support: Support, cases: Sequence[SupportCase], model: LoadedModel) -> nn.Module:
    """The base with output layers for the support's structures, which answer by how common each structure is.

    The object's output is the base's. That of a structure which the base knows by name starts as the base's, any other
    from nothing but the logit of its share of the voxels. Only the finest output is trained and asked.
    """
    described = model.plans, model.configuration_name
    network = network_of(described[0].plans, described[1], support.dataset_json)
    load_trunk(network, model.weights[0], source=model.folder)
    decoder: Any = network.decoder
    decoder.deep_supervision = False
    base: Any = model.network.decoder
    known = {s.name.lower(): s.label for s in model.table.structures}
    with torch.no_grad():
        for ours, theirs in zip(decoder.seg_layers, base.seg_layers, strict=True):
            ours.weight[0], ours.bias[0] = theirs.weight[0], theirs.bias[0]
            for s in support.table.structures:
                row = known.get(s.name.lower())
                if row is not None:
                    ours.weight[s.label], ours.bias[s.label] = theirs.weight[row], theirs.bias[row]
                else:
                    ours.weight[s.label] = 0.0
                    ours.bias[s.label] = _prior(cases, s.label)
    return network.to(model.device)


def _prior(cases: Sequence[SupportCase], label: int) -> float:
    inside = sum(int(np.count_nonzero(case.labels == label)) for case in cases)
    share = (inside + 1) / (sum(case.labels.size for case in cases) + 2)
    return math.log(share / (1 - share))


def _optimizer(network: nn.Module, kind: Kind) -> torch.optim.Optimizer:
    parts = [n for n, p in network.named_parameters() if p.requires_grad]
    named = dict(network.named_parameters())
    heads = [named[n] for n in parts if n.startswith(SEG_LAYERS)]
    rest = [named[n] for n in parts if not n.startswith(SEG_LAYERS)]
    groups = [
        {"params": rest, "lr": kind.rate, "full": kind.rate},
        {"params": heads, "lr": kind.head_rate, "full": kind.head_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=3e-5)


def _schedule(iteration: int, iterations: int) -> float:
    warm = min(1.0, (iteration + 1) / WARM_UP)
    return float(warm * max(0.0, 1 - iteration / iterations) ** POWER)
