"""Runs a function over many jobs, in this process or in several, and loses no job to the death of another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_all(
    run: Callable[[Job], Result],
    jobs: Sequence[Job],
    num_processes: int,
    *,
    died: Callable[[Job], Result],
) -> Iterator[Result]:
    """The results in the order of the jobs.

    A process that dies takes those beside it along; they are then run one by one, and `died` gives the result of the
    job that kills a process of its own.
    """
    if num_processes == 1:
        yield from map(run, jobs)
        return
    count = 0
    try:
        for result in _in_pool(run, jobs, num_processes):
            yield result
            count += 1
        return
    except BrokenProcessPool:
        pass
    for job in jobs[count:]:
        try:
            (result,) = _in_pool(run, [job], 1)
        except BrokenProcessPool:
            result = died(job)
        yield result


def _in_pool(
    run: Callable[[Job], Result], jobs: Sequence[Job], num_processes: int
) -> Iterator[Result]:
    # a forked copy of a process with threads (torch has some) can hang, so these start afresh
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, min(num_processes, len(jobs))), mp_context=context)
    try:
        yield from pool.map(run, jobs)
    finally:  # after Ctrl-C the cases that still wait must not be scored first
        pool.shutdown(cancel_futures=True)
