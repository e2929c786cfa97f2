from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nnunet_prompt.io.resources import (
    Limits,
    bound_threads,
    container_limits,
    free_bytes,
    return_large_blocks,
    use_huge_pages,
)
from tests.helpers.each import each

GIB = 2**30


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16 processors for this process."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def put(root: Path, **files: str) -> Path:
    """Writes files below `root`; two underscores in a name stand for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(root: Path, where: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / where
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


def test_the_narrowest_group_of_version_2_decides(tmp_path: Path) -> None:
    put(tmp_path, proc__self__cgroup="0::/pod/box\n", proc__meminfo="MemTotal: 67108864 kB\n")
    group(tmp_path, "pod/box", cpu_max="max 100000", memory_max=str(8 * GIB))
    group(tmp_path, "pod", cpu_max="250000 100000", memory_max=str(4 * GIB))
    group(tmp_path, "", memory_max="max")
    assert container_limits(tmp_path) == Limits(2, 4 * GIB)


def test_version_1(tmp_path: Path) -> None:
    put(tmp_path, proc__self__cgroup="5:memory:/outside/box\n4:cpu,cpuacct:/outside/box\n")
    group(tmp_path, "cpu,cpuacct", cpu_cfs_quota_us="300000", cpu_cfs_period_us="100000")
    group(tmp_path, "memory", memory_limit_in_bytes=str(3 * GIB))
    assert container_limits(tmp_path) == Limits(3, 3 * GIB)


def test_without_a_limit_the_machine_decides(tmp_path: Path) -> None:
    put(tmp_path, proc__self__cgroup="5:memory:/\n4:cpu:/\n", proc__meminfo="MemTotal: 1024 kB\n")
    group(tmp_path, "cpu", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    group(tmp_path, "memory", memory_limit_in_bytes="9223372036854771712")
    assert container_limits(tmp_path) == Limits(16, 2**20)


def test_nothing_to_read_sets_no_limit(tmp_path: Path) -> None:
    assert container_limits(tmp_path) == Limits(16, None)
    put(tmp_path, proc__self__cgroup="nonsense\n0::/\n", proc__meminfo="MemTotal\n")
    group(tmp_path, "", cpu_max="fast", memory_max="much")
    assert container_limits(tmp_path) == Limits(16, None)


@each("quota", ["50000 100000", "0 100000", "50000 0"])
def test_there_is_at_least_one_processor(tmp_path: Path, quota: str) -> None:
    put(tmp_path, proc__self__cgroup="0::/\n")
    group(tmp_path, "", cpu_max=quota)
    assert container_limits(tmp_path).cpus == 1


def test_where_processors_cannot_be_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert container_limits(tmp_path).cpus == 1


def test_threads_are_bounded_unless_the_user_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    where = "nnunet_prompt.io.resources.container_limits"
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for wanted in ("5", "4,2"):  # nnUNetv2_train takes all processors meanwhile
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        bound_threads()
    assert asked == [5, 4]
    asked.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    for cpus in (3, 16):
        monkeypatch.setattr(where, lambda cpus=cpus: Limits(cpus, None))
        bound_threads()
    assert asked == [3, 8]
    monkeypatch.delenv("OMP_NUM_THREADS")
    bound_threads()
    assert asked == [3, 8, 8]


def test_torch_is_asked_for_large_pages_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    use_huge_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    use_huge_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"


def test_freed_blocks_go_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up: list[tuple[int, int]] = []
    libc = SimpleNamespace(mallopt=lambda *given: set_up.append(given))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))  # musl, macOS, Windows
    return_large_blocks()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")  # the user's own
    return_large_blocks()
    assert not set_up
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_")
    return_large_blocks()
    assert set_up == [(-3, 8 * 2**20), (-1, 64 * 2**20)]


def test_what_is_left_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "nnunet_prompt.io.resources"
    monkeypatch.setattr(f"{where}.container_limits", lambda: Limits(1, 4 * GIB))
    monkeypatch.setattr(f"{where}._peak_bytes", lambda: GIB)
    assert free_bytes() == 3 * GIB
    monkeypatch.setattr(f"{where}._peak_bytes", lambda: 5 * GIB)
    assert free_bytes() == 0
    monkeypatch.setattr(f"{where}._peak_bytes", lambda: None)
    assert free_bytes() is None
    monkeypatch.setattr(f"{where}.container_limits", lambda: Limits(1, None))
    assert free_bytes() is None
