"""Reads checkpoints as data. A checkpoint is a pickle; nothing in it is ever run."""

from __future__ import annotations

import pickle
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
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: not found") from None
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise ModelError(
            f"{path}: refused, because loading it would run code or it is no checkpoint ({reason})"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: not a readable checkpoint ({error})") from None
    if not isinstance(content, dict) or "network_weights" not in content:
        raise ModelError(f"{path}: not an nnU-Net checkpoint, it has no 'network_weights'")
    return content


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
