"""Three stages side by side: the next case is loaded and the last one written while this one is worked on.

    time          ->
    load   1  2  3  4          a thread of its own
    work      1  2  3  4       the caller's thread, for the network
    write        1  2  3  4    a thread of its own

No more than one case is in each stage, so memory is bounded by the largest cases, not by their number. Threads, not
processes: unpacking, numpy and scipy let other threads run meanwhile, and nothing has to be copied through shared
memory, of which a container has little.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Literal, TypeVar, cast

from nnunet_prompt.io.threads import threads

Stage = Literal["load", "work", "write"]
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Done = TypeVar("Done")
Written = TypeVar("Written")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome(Generic[Item, Written]):
    """The outcome of an item: the `value` of its last stage, or the `error` of a stage, after which no other was run.

    The local variables in the error's traceback are gone, so that it keeps no arrays alive.
    """

    item: Item
    value: Written | None = None
    stage: Stage | None = None
    error: Exception | None = None


def pipelined(
    items: Iterable[Item],
    *,
    load: Callable[[Item], Loaded],
    work: Callable[[Loaded], Done],
    write: Callable[[Done], Written],
) -> Generator[Outcome[Item, Written], None, None]:
    """`write(work(load(item)))` of every item, side by side; one outcome per item, in their order.

    An item that fails does not cost the others. `work` runs in the caller's thread, one at a time; so `load` must do
    nothing that disturbs it. What ends it early, Ctrl-C or a caller who wants no more (`contextlib.closing`), lets a
    `write` that has begun finish, and a `load` end at its next `io.threads.checkpoint`. What is no `Exception` ends
    it, too, and so does an error of `items` itself.
    """
    source = iter(items)
    with threads(1, finish=True) as writer, threads(1) as reader:
        writing: Future[_Step] | None = None
        coming = _begin(reader, source, load)
        while coming is not None:
            step = coming.result()
            coming = _begin(reader, source, load)
            step.do("work", work)
            if writing is not None:
                yield writing.result().outcome()
            writing = writer.submit(step.do, "write", write)
        if writing is not None:
            yield writing.result().outcome()


class Stages:
    """The same three stages for threads that somebody else starts: none of them is open to two at a time.

    A thread stays in its stage until the next is free. So each holds one item at most, however many threads there are.
    """

    def __init__(self) -> None:
        self._locks: dict[Stage, Lock] = {"load": Lock(), "work": Lock(), "write": Lock()}

    def run(
        self,
        item: Item,
        *,
        load: Callable[[Item], Loaded],
        work: Callable[[Loaded], Done],
        write: Callable[[Done], Written],
    ) -> Outcome[Item, Written]:
        """`write(work(load(item)))`, each when its stage is free."""
        step = _Step(item)
        functions: dict[Stage, Callable[[Any], Any]] = {"load": load, "work": work, "write": write}
        before: Lock | None = None
        try:
            for stage, lock in self._locks.items():
                lock.acquire()
                if before is not None:
                    before.release()
                before = lock
                step.do(stage, functions[stage])
        finally:
            if before is not None:
                before.release()
        return cast("Outcome[Item, Written]", step.outcome())


class _Step:
    """An item on its way; it alone holds what one stage hands to the next."""

    def __init__(self, item: Any) -> None:
        self.item = self.value = item
        self.failed: tuple[Stage, Exception] | None = None

    def do(self, stage: Stage, function: Callable[[Any], Any]) -> _Step:
        """Runs a stage, unless an earlier one failed."""
        if self.failed is None:
            try:
                self.value = function(self.value)
            except Exception as error:
                self.failed, self.value = (stage, error), None
                _clear(error)
        return self

    def outcome(self) -> Outcome[Any, Any]:
        stage, error = self.failed or (None, None)
        return Outcome(self.item, self.value, stage, error)


def _begin(
    reader: ThreadPoolExecutor, source: Iterator[Item], load: Callable[[Item], Any]
) -> Future[_Step] | None:
    """Begins to load the next item; None where there is none left."""
    for item in source:
        return reader.submit(_Step(item).do, "load", load)
    return None


def _clear(error: BaseException | None) -> None:
    """Empties the frames in which an error and those before it were raised."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
