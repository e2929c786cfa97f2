"""Reads checkpoints as data. A checkpoint is a pickle; nothing in it is ever run."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

from nnunet_prompt.errors import ModelError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of an nnU-Net checkpoint, on the CPU.

    Only tensors, plain containers and the numpy scalars of nnU-Net's log are let through. Raises `ModelError` for a
    file that is missing, no checkpoint, or that asks for anything else to be built.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of other pickle protocols: they are refused or they are read
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: not found") from None
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, because loading it would run code or it is no checkpoint ({_reason(error)})"
        ) from None
    except Exception as error:  # a damaged pickle can end in any error
        raise ModelError(f"{path}: not a readable checkpoint ({_reason(error)})") from None
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise ModelError(
            f"{path}: not an nnU-Net checkpoint, it has no 'network_weights' with a tensor for each name"
        )
    checkpoint: dict[str, Any] = content
    return checkpoint


def _reason(error: Exception) -> str:
    """The first line of what torch says, without its advice to load the file unsafely."""
    text = str(error).split("WeightsUnpickler error:")[-1].strip()
    return next(iter(text.splitlines()), type(error).__name__)


def _numpy_scalars() -> list[Any]:
    """What numpy's numbers are rebuilt from; nnU-Net's log holds them."""
    import numpy as np

    try:
        from numpy._core import multiarray
    except ImportError:  # numpy 1
        from numpy.core import multiarray  # type: ignore[no-redef]
    scalar: Any = multiarray.scalar
    kinds = [type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *kinds,
    ]
