"""A simulated device: its tensors lie in the CPU's memory behind a wrapper that counts what crosses the border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

FAR = torch.device("meta")  # which every build of torch has, and on which nothing is computed
NEAR = torch.device("cpu")
WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")


@dataclass(slots=True)
class Crossings:
    """Copies to and from the device, and operations that wait for it."""

    there: int = 0
    back: int = 0
    waits: int = 0


class Far(torch.Tensor):
    """A tensor on the device; `near` is where its values are."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Far:
        with torch.inference_mode(False):
            return cls._made(near)

    @classmethod
    def _made(cls, near: torch.Tensor) -> Far:
        made: Far = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
        )
        made.near = near
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("a tensor of the device is used outside of `far_device`")


class far_device(TorchDispatchMode):
    """Within it there is the device `FAR`; `crossings` counts.

    Tensors of both places in one operation are an error, as on a GPU, but for single numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crossings = Crossings()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # made of others, which `inference_mode` leaves undone
                return func.decompose(*args, **kwargs)
        name = func.__name__.split(".")[0]
        seen: list[torch.Tensor] = []
        tree_map(lambda a: seen.append(a) if isinstance(a, torch.Tensor) else None, (args, kwargs))
        far = any(isinstance(a, Far) for a in seen)
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = NEAR
        there = far if wanted is None else torch.device(wanted).type == FAR.type
        if name == "_to_copy":
            self.crossings.there += there and not far
            self.crossings.back += far and not there
        elif name == "copy_" and isinstance(args[0], Far) != isinstance(args[1], Far):
            self.crossings.there += isinstance(args[0], Far)
            self.crossings.back += isinstance(args[1], Far)
        elif far:
            self.crossings.waits += name in WAITS
            strangers = [a for a in seen if not isinstance(a, Far) and a.ndim]
            assert not strangers, f"{name}: tensors of both devices"
        near = tree_map(lambda a: a.near if isinstance(a, Far) else a, (args, kwargs))
        found = func(*near[0], **near[1])
        if name.endswith("_") and not name.startswith("_") and isinstance(args[0], Far):
            return args[0]
        if not there:
            return found
        return tree_map(lambda a: Far(a) if isinstance(a, torch.Tensor) else a, found)
