"""One GPU for each process of a machine: the processes share out the GPUs by locks on files, without a coordinator.

The system drops a lock with its process, however that ends, so what takes the place of a dead worker gets its GPU.
"""

from __future__ import annotations

import getpass
import itertools
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from nnunet_prompt.common.errors import NNUNetPromptError

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_log = logging.getLogger(__name__)
_held: list[IO[bytes]] = []  # open as long as the process lives


def pin_gpu(folder: Path | None = None) -> str | None:
    """Shows this process the first GPU that the fewest others hold, and none beside it; returns its name.

    It chooses among those of CUDA_VISIBLE_DEVICES where that is set, else among all. `folder` has the locks, by default
    one of this user below the system's for temporary files. A process keeps its first choice. None, and nothing is
    changed, where there is no GPU, where CUDA has begun already, and on systems without such locks. Raises
    `NNUNetPromptError` where the locks cannot be written.
    """
    import torch

    if _held:
        return os.environ.get(VARIABLE)
    devices = visible_gpus()
    if not devices or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    folder = folder or Path(tempfile.gettempdir()) / f"nnunet-prompt-gpus-{getpass.getuser()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        device = _claim(devices, folder)
    except OSError as error:
        raise NNUNetPromptError(
            f"{folder}: no lock can be written there ({error.strerror}), by which workers share out the GPUs; set"
            f" {VARIABLE} to one GPU for each worker and TMPDIR to a folder that can be written"
        ) from None
    if device is not None:
        os.environ[VARIABLE] = device
        _log.info("this worker uses GPU %s of %s", device, ", ".join(devices))
    return device


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by their index or identifier, in the order of CUDA_VISIBLE_DEVICES."""
    import torch

    named = os.environ.get(VARIABLE)
    if named is None:
        return tuple(str(index) for index in range(torch.cuda.device_count()))
    known = itertools.takewhile(
        lambda name: name not in ("", "-1"), map(str.strip, named.split(","))
    )
    return tuple(dict.fromkeys(known))


def _claim(devices: Sequence[str], folder: Path) -> str | None:
    """The device whose lock this process holds from now on: every device once before any twice."""
    try:
        import fcntl
    except ImportError:
        return None
    for turn in itertools.count():
        for device in devices:
            file = (folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', device)}.{turn}").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held.append(file)
            return device
    return None
