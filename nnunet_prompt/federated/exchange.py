"""What server and sites ask and answer, whatever carries it. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nnunet_prompt.federated.part import Array

Action = Literal["train", "finish"]


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What the server sends to a site.

    * action: train the shared part, or train the site's own one and write the adapters
    * round: from 1
    * numbers: of the shared part; empty before the first round, where each site makes the start from the seed
    * settings: of the plan, and the seed
    """

    action: Action
    round: int
    numbers: Array
    settings: Mapping[str, int | float]


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a site answers.

    * site: its name
    * agreement: the hash of what must be alike at all sites
    * cases: its training cases
    * layout: names and shapes of the numbers, as JSON
    * numbers: of the part that was trained; empty to "finish"
    * dice: of validation patches, by what was validated
    """

    site: str
    agreement: str
    cases: int
    layout: str
    numbers: Array
    dice: Mapping[str, float]


class Channel(Protocol):
    """Carries what is asked to the sites and brings their answers."""

    def sites(self) -> Sequence[int]:
        """The sites that are connected now."""

    def ask(self, ask: Ask, sites: Sequence[int]) -> Sequence[Reply]:
        """The answers of the sites that answered; failures are logged and left out."""
