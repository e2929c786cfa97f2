"""The plan of a federation: how many rounds, how long each trains, and how fast. Needs nothing but Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nnunet_prompt.common.errors import RefusedError

PRIVATE_ROUND: Final = 1_000_000  # the round number that the private part's seed is made from


@dataclass(frozen=True, slots=True)
class Phase:
    """One training of one part: its steps, the learning rate from its first to behind its last, and its round.

    The round's number is part of the seed.
    """

    iterations: int
    learning_rates: tuple[float, float]
    round: int

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        first, end = self.learning_rates
        return first + (end - first) * step / self.iterations


@dataclass(frozen=True, slots=True)
class Rounds:
    """The plan of a federation.

    * rounds: how often the shared part is sent, trained and averaged
    * iterations: of a site in each round
    * private_iterations: of a site's own part after the last round; 0 is plain federated averaging
    * learning_rate: of the first round; it decays to the last as nnU-Net's does
    """

    rounds: int = 10
    iterations: int = 20
    private_iterations: int = 0
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.iterations < 1 or self.private_iterations < 0:
            raise RefusedError(
                f"federation: expected rounds and iterations of at least 1, found {self.rounds} rounds of"
                f" {self.iterations} and {self.private_iterations} private iterations"
            )
        if not 0 < self.learning_rate < 1:
            raise RefusedError(
                f"federation: expected a learning rate between 0 and 1, found {self.learning_rate}"
            )

    def phase(self, number: int) -> Phase:
        """The training of the shared part in round `number`, from 1."""
        first, end = (
            self.learning_rate * (1 - done / self.rounds) ** 0.9 for done in (number - 1, number)
        )
        return Phase(self.iterations, (first, end), number)

    @property
    def private_phase(self) -> Phase:
        """The training of a site's own part on top of the last shared one."""
        return Phase(self.private_iterations, (self.learning_rate, 0.0), PRIVATE_ROUND)


def plan_of(settings: Mapping[str, int | float]) -> Rounds:
    """The plan among the settings that a server sends. Raises `RefusedError` where one is missing."""
    try:
        return Rounds(
            int(settings["rounds"]),
            int(settings["iterations"]),
            int(settings["private-iterations"]),
            float(settings["learning-rate"]),
        )
    except KeyError as error:
        raise RefusedError(
            f"federation: the server sent no setting {error}; use one version of nnunet_prompt at all sites"
        ) from None
