"""The choices of a ranking, checked where they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nnunet_prompt.common.arguments import finite_number, one_of, shown, true_or_false, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError

SCHEMES = ("general", "tfm4media", "care-cardiac", "care-myops", "care-whs")
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    scheme: {"dice": 1.0} if scheme == "tfm4media" else {"dice": 1.0, "hd_mm": 1.0}
    for scheme in SCHEMES
}
SHORT = {"hd": "hd_mm", "hd95": "hd95_mm", "assd": "assd_mm"}  # as people write them
SAMPLE = "dice=0.4,hd=0.4,time=0.2"


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How teams are ranked.

    scheme: one of `SCHEMES`.
    weights: of the metrics, by key ("dice", "hd_mm" or "hd") or "time"; those of the scheme if left out. They need
        not sum to 1.
    seen, unseen: centres that training has seen or has not, as "A", or "whs:A" for one task.
    samples: of the bootstrap.
    confidence: of the intervals of places.
    seed: of the bootstrap.
    published: whether the published rows are shown, where the scheme has some.
    """

    scheme: str = "general"
    weights: Mapping[str, float] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    samples: int = 1000
    confidence: float = 0.95
    seed: int = 0
    published: bool = True

    def __post_init__(self) -> None:
        one_of("scheme", self.scheme, SCHEMES)
        whole_number("samples", self.samples, lowest=1, example=1000)
        whole_number("seed", self.seed, lowest=0, example=0)
        true_or_false("published", self.published)
        if not 0 < finite_number("confidence", self.confidence, 0.95) < 1:
            raise NNUNetPromptError(
                f"confidence: expected a number between 0 and 1, such as 0.95, found {self.confidence}"
            )
        both = {c.casefold() for c in self.seen} & {c.casefold() for c in self.unseen}
        if both:
            raise NNUNetPromptError(f"seen and unseen: both name centre {sorted(both)[0]!r}")
        object.__setattr__(self, "weights", checked_weights(self.weights or WEIGHTS[self.scheme]))


def checked_weights(weights: object) -> dict[str, float]:
    """Weights by the full keys of metrics; those of 0 are left out. Raises `NNUNetPromptError`."""
    expected = f"weights: expected a weight from 0 on per metric or time, such as {SAMPLE}"
    if not isinstance(weights, Mapping):
        raise NNUNetPromptError(f"{expected}, found {shown(weights)}")
    found: dict[str, float] = {}
    for name, weight in weights.items():
        number = finite_number(f"weights: {name}", weight, 0.4)
        key = SHORT.get(str(name), str(name))
        if number < 0 or key in found:
            raise NNUNetPromptError(f"{expected}, found {name}={weight}")
        found[key] = number
    if not math.fsum(found.values()) > 0:
        raise NNUNetPromptError(f"{expected}, found none above 0")
    return {key: weight for key, weight in found.items() if weight > 0}
