"""The server of a federation: rounds, averages, and a state on disc from which it resumes. Needs numpy alone."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from nnunet_prompt.common.errors import ModelError, OutputError, RefusedError
from nnunet_prompt.federated.average import average
from nnunet_prompt.federated.exchange import Ask, Channel, Reply
from nnunet_prompt.federated.part import Array, layout_of_json, named_arrays, pack_part, unpack_part
from nnunet_prompt.federated.plan import Rounds
from nnunet_prompt.federated.traffic import Exchange
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.json_file import read_object, write_json

LOG = logging.getLogger(__name__)
STATE_FILE: Final = "federation.json"
SHARED_FILE: Final = "shared.npz"  # the shared part by names, when all is done
POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """What a server is asked for: its plan, its seed, where its state is, and how many sites make a round."""

    plan: Rounds
    output: Path
    min_sites: int = 2
    seed: int = 0
    patience_s: float = 3600.0

    @property
    def settings(self) -> dict[str, int | float]:
        """What each site is sent."""
        plan = self.plan
        return {
            "rounds": plan.rounds,
            "iterations": plan.iterations,
            "private-iterations": plan.private_iterations,
            "learning-rate": plan.learning_rate,
            "seed": self.seed,
        }


@dataclass(slots=True)
class State:
    """The federation so far; `numbers` are those of the shared part behind round `round`."""

    settings: dict[str, int | float]
    round: int = 0
    done: bool = False
    agreement: str = ""
    layout: str = ""
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    numbers: Array = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def read(cls, output: Path, settings: dict[str, int | float]) -> State:
        """The state in a folder, a new one where there is none. Raises `OutputError` for one of other settings."""
        path = output / STATE_FILE
        if not path.is_file():
            return cls(settings)
        content = read_object(path, OutputError, way_out="; choose another folder")
        if content.get("settings") != settings:
            raise OutputError(
                f"{path}: is of a federation with settings {content.get('settings')}, expected {settings}; choose"
                " another folder, or give the same settings to resume"
            )
        try:
            state = cls(**content)
            if state.round:
                state.numbers = np.load(output / _numbers_file(state.round), allow_pickle=False)
        except (TypeError, ValueError, OSError) as error:
            raise OutputError(
                f"{path}: not the state of a federation ({error}); choose another folder"
            ) from None
        return state

    def write(self, output: Path) -> None:
        """Writes the state; whenever it stops meanwhile, the last complete one is found."""
        with replacing(output / _numbers_file(self.round)) as partial, partial.open("wb") as file:
            np.save(file, self.numbers)
        content = asdict(self)
        del content["numbers"]
        write_json(output / STATE_FILE, content)
        for old in output.glob("shared_round_*.npy"):
            if old.name != _numbers_file(self.round):
                old.unlink()


def serve(
    channel: Channel, request: ServerRequest, *, sleep: Callable[[float], None] = time.sleep
) -> Path:
    """Runs the rounds that are left and returns the file of the shared part.

    A site that does not answer misses a round; a round with fewer than `min_sites` answers is asked for again, until
    `patience_s` have passed without any. Raises `RefusedError` then, `OutputError` for a folder of another federation.
    """
    request.output.mkdir(parents=True, exist_ok=True)
    state = State.read(request.output, request.settings)
    if state.round:
        LOG.info("resuming: %d of %d rounds are done", state.round, request.plan.rounds)
    while state.round < request.plan.rounds:
        replies = _ask(channel, request, state, sleep)
        _add(state, replies)
        state.write(request.output)
        LOG.info(
            "%d of %d rounds done, with %s",
            state.round,
            request.plan.rounds,
            ", ".join(r.site for r in replies),
        )
    if not state.done:
        replies = _ask(channel, request, state, sleep)
        _note(state, replies, state.round + 1)
        state.done = True
        state.write(request.output)
    path = request.output / SHARED_FILE
    part = unpack_part(state.numbers, layout_of_json(state.layout), source=str(request.output))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **named_arrays(part))  # type: ignore[arg-type] # numpy: keywords are arrays
    return path


def _ask(
    channel: Channel, request: ServerRequest, state: State, sleep: Callable[[float], None]
) -> list[Reply]:
    """The fitting answers of a round, at least `min_sites`, by the names of the sites."""
    finish = state.round == request.plan.rounds
    ask = Ask("finish" if finish else "train", state.round + 1, state.numbers, request.settings)
    began = time.monotonic()
    while time.monotonic() - began <= request.patience_s:
        sites = channel.sites()
        if len(sites) >= request.min_sites:
            answers = sorted(channel.ask(ask, sites), key=lambda r: r.site)
            fitting = _fitting(state, answers)
            if len(fitting) >= (1 if finish else request.min_sites):
                return fitting
            LOG.warning(
                "rounds, number %d: %d sites answered, asking again", ask.round, len(fitting)
            )
        sleep(POLL_S)
    raise RefusedError(
        f"federation, {state.round} of {request.plan.rounds} rounds done: expected answers of {request.min_sites}"
        " sites, fewer came in"
        f" {request.patience_s:.0f} s; start the sites, then start the server again, which resumes"
    )


def _fitting(state: State, answers: Sequence[Reply]) -> list[Reply]:
    """The answers that can be averaged: one a site, all of the same base and structures, finite.

    Before the first average the most frequent base and layout count.
    """
    alike = Counter((r.agreement, r.layout) for r in answers).most_common(1)
    expected = (
        (state.agreement, state.layout) if state.agreement else (alike or [(("", ""), 0)])[0][0]
    )
    found: dict[str, Reply] = {}
    for reply in answers:
        reason = _unfit(reply, expected)
        if not reason and reply.site in found:
            reason = "another site has the same name; give each a name of its own"
        if reason:
            LOG.warning("site %s is left out: %s", reply.site, reason)
        else:
            found[reply.site] = reply
    return list(found.values())


def _unfit(reply: Reply, expected: tuple[str, str]) -> str:
    """Why an answer cannot be averaged with the others; "" where it can."""
    if (reply.agreement, reply.layout) != expected:
        return "starts from another base, trainer or structures than the others"
    if reply.cases < 1:
        return f"expected a positive number of training cases, found {reply.cases}"
    try:
        if len(reply.numbers):
            unpack_part(reply.numbers, layout_of_json(reply.layout), source=reply.site)
    except ModelError as error:
        return str(error)
    return ""


def _add(state: State, replies: Sequence[Reply]) -> None:
    """Averages the answers of a round into the state."""
    layout = layout_of_json(replies[0].layout)
    parts = [unpack_part(r.numbers, layout, source=r.site) for r in replies]
    mean = average(parts, [r.cases for r in replies])
    _note(state, replies, state.round + 1, lost=mean.lost)
    state.numbers = pack_part(mean.part)
    state.agreement, state.layout = replies[0].agreement, replies[0].layout
    state.round += 1


def _note(
    state: State, replies: Sequence[Reply], number: int, *, lost: float | None = None
) -> None:
    """Adds bytes and Dice of a round."""
    for reply in replies:
        sent = int(reply.numbers.nbytes) + len(reply.layout.encode())
        one = Exchange(reply.site, number, int(state.numbers.nbytes), sent)
        state.exchanges.append(asdict(one))
    dice = {
        r.site: {k: None if np.isnan(v) else round(v, 6) for k, v in r.dice.items()}
        for r in replies
    }
    state.history.append({"round": number, "dice": dice, "lost": lost})


def _numbers_file(number: int) -> str:
    return f"shared_round_{number}.npy"
