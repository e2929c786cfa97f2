"""Task vectors: what a support set shows, as means of encoder features, and how they change the decoder.

The features of each encoder stage are averaged over the mask of a structure, less their mean over the whole patch, in
units of their standard deviation there. From this vector a linear layer, zero at first and without a bias, makes a
scale and a shift for the channels that each decoder stage reads (FiLM, Perez et al. 2018, arXiv 1709.07871). The object
head then answers for the structure of the support, as it does where prompts point. Without a support the vector is
zero, and the network is what it is without all of this.

In training a batch brings its support in more channels: after the image and the prompt channels an image of another
case, and its mask. A trained network gets the vectors of a support set once (`add_support`), and has an output for each
of its structures from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from nnunet_prompt.networks.tensor_names import MODULATION, SUPPORT
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS

MOST = 10  # cases of a support set
LEAST_VOXELS = 1e-3  # of a mask on the grid of a stage; below it, the mask is empty there
LEAST_SPREAD = 1e-3
ABSENT = -100.0  # logit of structures that nobody asked for


class TaskNow:
    """The vectors (B, length) of the batch that the network works on; its decoder stages look them up here."""

    def __init__(self) -> None:
        self.vectors: Tensor | None = None


class Modulation(nn.Module):
    """Scale and shift of what a decoder stage reads, linear in the task vector."""

    def __init__(self, length: int, channels: int, task: TaskNow) -> None:
        super().__init__()
        self.linear = nn.Linear(length, 2 * channels, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.task = task

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, channels, *spatial), as it is where there is no support."""
        vectors = self.task.vectors
        if vectors is None:
            return x
        scale, shift = self.linear(vectors.to(self.linear.weight.dtype)).chunk(2, 1)
        spatial = (...,) + (None,) * (x.ndim - 2)
        modulated: Tensor = x * (1 + scale[spatial]) + shift[spatial]
        return modulated


class SupportVectors(nn.Module):
    """The task vectors of a support set: of each case and structure, and which cases show a structure.

    vectors: (10, K, length), zero where a case does not show a structure or there are fewer cases
    shown: (10, K), 1 where there is a vector
    """

    def __init__(self, structures: int, length: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(MOST, structures, length))
        self.shown = nn.Parameter(torch.zeros(MOST, structures))

    def means(self) -> Tensor:
        """The mean vector (K, length) of each structure over the cases that show it; zero where none does."""
        shown = self.shown.detach()
        summed = (self.vectors.detach() * shown[..., None]).sum(0)
        return summed / shown.sum(0).clamp(min=1)[:, None]

    @property
    def cases(self) -> list[int]:
        """The cases that show any structure."""
        found: list[int] = self.shown.detach().any(1).nonzero()[:, 0].tolist()
        return found

    @contextmanager
    def without(self, case: int) -> Iterator[None]:
        """Inside, a case does not count, in this network and in those that share its memory."""
        with torch.no_grad():
            kept = self.shown[case].clone()
            self.shown[case] = 0
        try:
            yield
        finally:
            with torch.no_grad():
                self.shown[case] = kept


def add_task_vectors(network: Any) -> None:
    """Lets task vectors scale and shift what each decoder stage reads. No logit changes."""
    task, length = TaskNow(), vector_length(network)
    for stage, transposed in zip(network.decoder.stages, network.decoder.transpconvs, strict=True):
        below = int(transposed.out_channels)
        stage.modulation = Modulation(length, 2 * below, task).to(transposed.weight)
        stage.__class__ = _modulated_class(type(stage))  # type: ignore[arg-type] # mypy: a type hashes
    network.task, network.image_channels = task, int(network.n_image_channels)
    network.__class__ = _supported_class(type(network))  # type: ignore[arg-type]


def takes_support(network: nn.Module) -> bool:
    """Whether task vectors change what the network answers."""
    return hasattr(network, "task")


def vector_length(network: Any) -> int:
    """The length of a task vector: the features of all encoder stages."""
    return sum(int(n) for n in network.encoder.output_channels)


def add_support(network: Any) -> None:
    """Gives the network vectors of a support set, zero so far, with a structure for each output but the object's."""
    structures = int(network.decoder.seg_layers[-1].out_channels) - 1
    weight = network.decoder.seg_layers[-1].weight
    network.support = SupportVectors(structures, vector_length(network)).to(weight)


def task_vectors(network: Any, images: Tensor, masks: Tensor) -> Tensor:
    """Vectors (B, length) of images (B, C, *patch) and the masks (B, 1, *patch) of one structure; zero without one."""
    prompts = images.new_zeros((len(images), N_PROMPT_CHANNELS, *images.shape[2:]))
    with torch.no_grad():
        features: Sequence[Tensor] = network.encoder(torch.cat([images, prompts], 1))
        return torch.cat([_masked_mean(x, masks) for x in features], 1)


def _masked_mean(features: Tensor, masks: Tensor) -> Tensor:
    pool: Any = nn.functional.adaptive_avg_pool2d
    if features.ndim == 5:
        pool = nn.functional.adaptive_avg_pool3d
    axes = tuple(range(2, features.ndim))
    features = features.float()
    share = pool(masks.float(), features.shape[2:])
    voxels = share.sum(axes)
    inside = (features * share).sum(axes) / voxels.clamp(min=LEAST_VOXELS)
    spread = features.std(axes, correction=0) + LEAST_SPREAD
    found: Tensor = (inside - features.mean(axes)) / spread
    return torch.where(voxels > LEAST_VOXELS, found, torch.zeros_like(found))


def has_task_vectors(weights: Mapping[str, Any]) -> bool:
    """Whether a state dict is of a network that takes a support set."""
    return any(MODULATION in name for name in weights)


def is_of_task_vectors(name: str) -> bool:
    """Whether a tensor of that name is there for task vectors."""
    return MODULATION in name or name.startswith(SUPPORT)


def without_idle_vectors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without what task vectors have added, where there is no support set: it then does nothing."""
    if any(name.startswith(SUPPORT) for name in weights):
        return dict(weights)
    return {name: tensor for name, tensor in weights.items() if not is_of_task_vectors(name)}


def read_task_vectors(network: Any, weights: dict[str, Tensor], prefix: str) -> None:
    """Prepares a state dict for loading, in place; a network gets what the state dict brings.

    A state dict without it leaves that of the network as it is.
    """
    if has_task_vectors(weights) and not takes_support(network):
        add_task_vectors(network)
    if any(name.removeprefix(prefix).startswith(SUPPORT) for name in weights):
        if not hasattr(network, "support"):
            add_support(network)
    if takes_support(network):
        for name, tensor in network.named_parameters(remove_duplicate=False):
            if is_of_task_vectors(name):
                weights.setdefault(prefix + name, tensor.detach())


@cache
def _modulated_class(base: type[nn.Module]) -> type[nn.Module]:
    class Modulated(base):  # type: ignore[misc, valid-type]
        modulation: Modulation

        def forward(self, x: Tensor) -> Any:
            return super().forward(self.modulation(x))

    Modulated.__name__ = Modulated.__qualname__ = f"Modulated{base.__name__}"
    return Modulated


@cache
def _supported_class(base: type[nn.Module]) -> type[nn.Module]:
    class Supported(base):  # type: ignore[misc, valid-type]
        task: TaskNow
        image_channels: int

        def forward(self, x: Tensor) -> Any:
            """Images, perhaps prompts, perhaps a support: (B, C, ...), (B, C + 7, ...) or (B, C + 7 + C + 1, ...)."""
            self.task.vectors = None
            inputs = self.image_channels + N_PROMPT_CHANNELS
            if x.shape[1] > inputs:
                self.task.vectors = task_vectors(self, x[:, inputs:-1], x[:, -1:])
                return super().forward(x[:, :inputs])
            return self._answers(x) if hasattr(self, "support") else super().forward(x)

        def _answers(self, x: Tensor) -> Tensor:
            """The object without a support, then for each structure of the support the object that it shows."""
            means = self.support.means()
            prompted = x.shape[1] == self.image_channels + N_PROMPT_CHANNELS
            # a network for passes without prompts reads the images alone
            if self.n_image_channels == x.shape[1]:
                x = torch.cat([x, x.new_zeros((len(x), N_PROMPT_CHANNELS, *x.shape[2:]))], 1)
            skips = self.encoder(x)
            if prompted and bool(x[:, self.image_channels :].any()):
                found = self._object(skips, None)
                absent = torch.full_like(found, ABSENT).expand(-1, len(means), *found.shape[2:])
                return torch.cat([found, absent], 1)
            structures = [self._object(skips, vector) for vector in means]
            return torch.cat([torch.zeros_like(structures[0]), *structures], 1)

        def _object(self, skips: Sequence[Tensor], vector: Tensor | None) -> Tensor:
            many = None if vector is None else vector.expand(len(skips[0]), -1)
            self.task.vectors = many
            logits: Tensor = self.decoder(list(skips))[:, :1]
            self.task.vectors = None
            return logits

    Supported.__name__ = Supported.__qualname__ = f"Supported{base.__name__}"
    return Supported
