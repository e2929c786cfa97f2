"""How much time each case may take when there is a limit for all of them.

Every case has to have a file in the end. So the time that the prompts alone take is kept for all cases that are still
to come, and the rest is shared: a case gets the network as it is, the network without mirroring, or no network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from nnunet_prompt.inference.low_memory import DeadlineExceeded

Mode = Literal["full", "fast", "prompts"]
BORROW = 3.0  # so many shares one case may take of what is left
MARGIN = 0.02  # of the budget, kept for what no case accounts for
FIRST_FLOOR = 0.2  # seconds that a case takes without a network, until that has been measured


@dataclass(frozen=True, slots=True)
class Effort:
    """How one case is done: by the network, without mirroring, or by its prompts alone; `seconds` bounds the network.

    Without `voxels` there is not even time to read the image.
    """

    mode: Mode = "full"
    seconds: float = math.inf
    voxels: bool = True


class Budget:
    """The time of a run, from when it is made. `seconds` None is no limit; `clock` is in seconds."""

    def __init__(
        self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.started = clock()
        self.end = math.inf if seconds is None else self.started + seconds * (1 - MARGIN)
        self._around: list[float] = []
        self._took: dict[Mode, list[float]] = {"full": [], "fast": []}

    def plan(self, cases: int, passes: int = 1) -> Effort:
        """How the next of `cases` is done; without mirroring a tile goes once through the network, not `passes` times.

        While nothing is known, the network is tried within the case's bounds. It is used for as many cases as there is
        time for, without mirroring where a fair share no longer suffices for more.
        """
        if self.end == math.inf:
            return Effort()
        left = self.end - self.clock()
        floor = fmean(self._around) if self._around else FIRST_FLOOR
        most = left - cases * floor
        bound = min(most, BORROW * most / cases)
        full, fast = self._mean("full"), self._mean("fast")
        if fast is None and full is not None:
            fast = full / passes
        if most <= 0:
            return Effort("prompts", 0.0, voxels=False)
        if full is None or full <= most / cases:
            return Effort("full", bound)
        if fast is None or fast > most:
            return Effort("prompts", 0.0)
        return Effort("fast" if passes > 1 else "full", min(most, max(bound, fast * 1.5)))

    def learn(self, effort: Effort, network: float, around: float) -> None:
        """The time that a case took: seconds of the network, also where it was stopped, and of all the rest."""
        self._around.append(around)
        if effort.mode != "prompts" and network > 0:
            self._took[effort.mode].append(network)

    def stopper(self, effort: Effort) -> Callable[[], None]:
        """A function that raises `DeadlineExceeded` once the network's time for a case that begins now is over."""
        deadline = min(self.clock() + effort.seconds, self.end)

        def stop() -> None:
            if self.clock() > deadline:
                raise DeadlineExceeded("the time for this case is over")

        return stop

    def _mean(self, mode: Mode) -> float | None:
        return fmean(self._took[mode]) if self._took[mode] else None
