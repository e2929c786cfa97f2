"""Errors that report that there was no memory left, and what is done about them first."""

from __future__ import annotations

import gc

SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "DefaultCPUAllocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that there was no memory left, on the processor or on a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def release() -> None:
    """Frees what nobody holds any more, so that it can be had by others."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
