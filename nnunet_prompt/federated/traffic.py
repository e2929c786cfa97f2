"""The bytes that sites and server send each other, counted at the payload, per site and both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """One round of one site: bytes it received and bytes it sent."""

    site: str
    round: int
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rounds that a site took part in, and the bytes of all of them.

    `share` is the larger of both ways of its largest round, over the bytes of the whole network.
    """

    rounds: int
    received: int
    sent: int
    share: float


def traffic(exchanges: Iterable[Exchange], *, weight_bytes: int) -> Mapping[str, Traffic]:
    """The traffic of each site, in the order of their first exchange; `weight_bytes` is the whole network's."""
    if weight_bytes < 1:
        raise ValueError(f"weight_bytes: expected a positive number, found {weight_bytes}")
    by_site: dict[str, list[Exchange]] = {}
    for one in exchanges:
        by_site.setdefault(one.site, []).append(one)
    return {
        site: Traffic(
            len({e.round for e in found}),
            sum(e.received for e in found),
            sum(e.sent for e in found),
            max(max(e.received, e.sent) for e in found) / weight_bytes,
        )
        for site, found in by_site.items()
    }
