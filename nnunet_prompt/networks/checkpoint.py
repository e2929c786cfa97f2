"""Reads checkpoints as data. nnU-Net's is a pickle; nothing in it is ever run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import ModelError, system_reason
from nnunet_prompt.networks.onnx_file import is_onnx, read_onnx
from nnunet_prompt.networks.safetensors_file import is_safetensors, read_safetensors


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """The content of an nnU-Net checkpoint, on the CPU; of our safetensors and ONNX files in the same form.

    Of a pickle only tensors, plain containers and the numpy scalars of nnU-Net's log are let through. With `mmap` its
    tensors stay in the file until they are used; the file must then not change. Raises `ModelError` for a file that is
    missing, no checkpoint, of a format that nnU-Net 2 never wrote, or that asks for anything else to be built.
    """
    start = _start(path)
    if is_onnx(path, start):
        return read_onnx(path)
    if is_safetensors(start):
        return read_safetensors(path)
    return _read_pickle(path, start, mmap=mmap)


def _read_pickle(path: Path, start: bytes, *, mmap: bool) -> dict[str, Any]:
    import torch

    _refuse_other_formats(path, start)
    try:
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of other pickle protocols: they are refused or they are read
            content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise _unreadable(path, error) from None
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, because loading it would run code or it is not a checkpoint ({_reason(error)})"
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


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except FileNotFoundError:
        raise ModelError(f"{path}: not found") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _refuse_other_formats(path: Path, start: bytes) -> None:
    """Before torch looks at it: formats for which torch's safe reading came late, or does not exist."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries = {name.partition("/")[2] for name in archive.namelist()}
        else:
            entries = set()
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # a damaged archive can end in any error
        raise ModelError(f"{path}: not a readable checkpoint ({_reason(error)})") from None
    if start[257:262] == b"ustar":
        raise ModelError(
            f"{path}: refused, a tar archive (torch's format before 0.1.10, or an archived model): unpack it and give"
            " the checkpoint in it"
        )
    if start[:1] == b"\x80":
        raise ModelError(
            f"{path}: refused, a bare pickle (torch's format before 1.6): nnU-Net 2 never wrote it; load and save it"
            " with a torch of today where you trust it"
        )
    if "constants.pkl" in entries:
        raise ModelError(
            f"{path}: refused, a TorchScript archive: it holds a program, not weights; give the training's checkpoint"
        )
    if entries and "data.pkl" not in entries:
        raise ModelError(
            f"{path}: refused, a zip archive without a checkpoint in its first folder: unpack it and give the"
            " checkpoint or the model folder in it"
        )
    if not entries:
        raise ModelError(
            f"{path}: not a readable checkpoint, expected the zip format of torch 1.6 and later"
        )


def _unreadable(path: Path, error: OSError) -> ModelError:
    """The error for a file that the system does not hand over, or that ends too early (an `OSError` without reason)."""
    reason = system_reason(error)
    if reason is None:
        return ModelError(f"{path}: not a readable checkpoint ({_reason(error)})")
    return ModelError(f"{path}: cannot be read: {reason}")


def _reason(error: Exception) -> str:
    """The first line of what torch reports, without its advice to load the file unsafely."""
    text = str(error).split("WeightsUnpickler error:")[-1].strip()
    return next(iter(text.splitlines()), type(error).__name__)


def _numpy_scalars() -> list[Any]:
    """The functions that rebuild numpy's numbers; nnU-Net's log holds such numbers."""
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
