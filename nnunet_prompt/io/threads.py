"""Many cases at once, in threads.

Nearly all time goes into packing, unpacking and numpy, which let other threads run meanwhile. So threads use every
core, and unlike processes they copy no arrays, leave nothing behind when the program is killed, and need no
`if __name__ == "__main__"` in a user's script.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.resources import container_limits

WORKERS_VARIABLE = "nnUNet_def_n_proc"  # nnU-Net's own
AHEAD = 2  # so many cases per worker are taken from the source before the first of them is done
Item = TypeVar("Item")
Result = TypeVar("Result")
_thread = threading.local()


class _Stopped(BaseException):
    """Ends the work of a thread whose result nobody waits for."""


def worker_count() -> int:
    """How many cases are worked on at once: nnUNet_def_n_proc, else the number of cores that this process may
    use, as a container or a batch system grants them.

    Raises `NNUNetPromptError` when the variable holds anything but a number from 1 up.
    """
    stated = os.environ.get(WORKERS_VARIABLE, "").strip()
    if stated:
        if not stated.isdecimal() or int(stated) < 1:
            raise NNUNetPromptError(
                f"the environment variable {WORKERS_VARIABLE} is {stated!r}, expected a number from 1 up"
            )
        return int(stated)
    return container_limits().cpus


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """`function` of every item, several at once, in the order of the items; as `map`, which one worker makes it.

    Items are taken lazily, at most twice as many ahead as there are workers. The first error in the order of the
    items is raised, those of `items` itself included, when all results before it have been given. Whatever ends it,
    an error, Ctrl-C or a caller who wants no more, nothing runs any longer when it is left: what has begun
    ends at its next `checkpoint`.
    """
    workers = worker_count()
    if workers == 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    source = iter(items)
    failed: Exception | None = None
    with threads(workers) as pool:
        while failed is None:
            try:
                pending.append(pool.submit(function, next(source)))
            except StopIteration:
                break
            except Exception as error:
                failed = error
            while len(pending) >= AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if failed is not None:
            raise failed


@contextmanager
def threads(count: int, *, finish: bool = False) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads of which nothing runs any longer when the block is left, in whatever way.

    What has begun then ends at its next `checkpoint`, and what waits is dropped; with `finish` both are done first.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(count, initializer=_enter, initargs=(stop,))
    try:
        yield pool
    finally:
        if not finish:
            stop.set()
        pool.shutdown(cancel_futures=not finish)


def checkpoint() -> None:
    """A place where work may end early: raises when the pool of this thread was stopped, else does nothing."""
    stop: threading.Event | None = getattr(_thread, "stop", None)
    if stop is not None and stop.is_set():
        raise _Stopped


def _enter(stop: threading.Event) -> None:
    _thread.stop = stop
