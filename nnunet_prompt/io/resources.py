"""The resources of this process: processors and memory, as a container grants them.

A container often sees all processors and all memory of its machine. What it may take stands in its control group
(cgroup, version 1 or 2), and a process that takes more is slowed down or killed.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

THREADS_VARIABLE = "OMP_NUM_THREADS"  # a user's own choice of threads
PAGES_VARIABLE = "THP_MEM_ALLOC_ENABLE"  # of torch
MALLOC_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
MIB = 2**20
ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Limits:
    """`cpus` are whole processors, at least 1; `memory` is in bytes, None where it is unknown."""

    cpus: int
    memory: int | None


def container_limits(root: Path = ROOT) -> Limits:
    """The narrowest of what the machine has and what the control groups of this process and those above grant.

    Files are looked up below `root`. What is missing or unreadable sets no limit.
    """
    quotas = [*_quotas_v2(root), *_quotas_v1(root)]
    memory = [*_memory_v2(root), *_memory_v1(root), *_memory_of_machine(root)]
    cpus = min([_own_cpus(), *(int(q) for q in quotas)])
    return Limits(max(cpus, 1), min(memory, default=None))


def bound_threads() -> None:
    """Lets torch use no more threads than there are processors for them, or as many as OMP_NUM_THREADS states.

    Others may have changed it meanwhile: `nnUNetv2_train` takes all processors of the machine.
    """
    import torch

    wanted = os.environ.get(THREADS_VARIABLE, "").partition(",")[0].strip()  # by level of nesting
    if wanted.isdecimal() and int(wanted):
        torch.set_num_threads(int(wanted))
    else:
        torch.set_num_threads(min(torch.get_num_threads(), container_limits().cpus))


def use_huge_pages() -> None:
    """Lets torch ask Linux for pages of 2 MB for its large tensors, unless THP_MEM_ALLOC_ENABLE is set already.

    The activations of a network on the CPU are new memory with each tile, and with pages of 4 kB making them ready
    takes up to a third of the time. torch looks at the variable when it first makes a tensor: call this before.
    """
    os.environ.setdefault(PAGES_VARIABLE, "1")


def return_large_blocks() -> None:
    """Lets glibc return blocks of 8 MB and more to the system at once, unless it is configured already.

    By itself it keeps those below 32 MB, as most activations of a network are, for later ones of the same size; between
    two of a network's layers that is a fifth of the memory. It costs a tenth of the time.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in MALLOC_VARIABLES):
        return
    libc = ctypes.CDLL(None)
    for parameter, size in ((M_MMAP_THRESHOLD, 8 * MIB), (M_TRIM_THRESHOLD, 64 * MIB)):
        libc.mallopt(parameter, size)


def free_bytes() -> int | None:
    """The memory that is left after the most that this process has held so far; None if unknown.

    The kernel kills a process that takes more, and nothing can be caught then: look before something large is begun.
    """
    memory = container_limits().memory
    peak = _peak_bytes()
    return None if memory is None or peak is None else max(memory - peak, 0)


def _peak_bytes() -> int | None:
    for line in _read(ROOT / "proc/self/status").splitlines():
        name, _, rest = line.partition(":")
        if name == "VmHWM" and rest.split():
            return int(rest.split()[0]) * 1024
    return None


def _own_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas_v2(root: Path) -> Iterator[float]:
    for text in _files(root, "", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdecimal() and period.strip().isdecimal():
            yield _share(int(quota), int(period))


def _quotas_v1(root: Path) -> Iterator[float]:
    quotas = _files(root, "cpu", "cpu.cfs_quota_us")
    periods = _files(root, "cpu", "cpu.cfs_period_us")
    for quota, period in zip(quotas, periods, strict=False):
        if quota.isdecimal() and period.isdecimal():  # -1 is no limit
            yield _share(int(quota), int(period))


def _share(quota: int, period: int) -> float:
    return quota / period if quota and period else 1.0


def _memory_v2(root: Path) -> Iterator[int]:
    return (int(t) for t in _files(root, "", "memory.max") if t.isdecimal())


def _memory_v1(root: Path) -> Iterator[int]:
    # without a limit it is a number beyond any machine, which the machine's own then undercuts
    return (int(t) for t in _files(root, "memory", "memory.limit_in_bytes") if t.isdecimal())


def _memory_of_machine(root: Path) -> Iterator[int]:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal" and rest.split():
            yield int(rest.split()[0]) * 1024


def _files(root: Path, controller: str, name: str) -> Iterator[str]:
    """The contents of a file in the groups of a controller ("" is version 2), from this process's own group upwards."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controller not in controllers.split(","):
            continue
        places = {mounts / controllers, mounts / controller, mounts / "unified"}
        inside = Path(group.lstrip("/"))
        # a container may see its own group as the top, whatever the group is called outside
        for step in (inside, *inside.parents):
            for place in sorted(places):
                text = _read(place / step / name)
                if text:
                    yield text.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
