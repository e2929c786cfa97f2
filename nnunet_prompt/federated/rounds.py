"""The rounds of a federation in one process: for studies, and to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.common.log import progress
from nnunet_prompt.federated.average import average
from nnunet_prompt.federated.part import Part, pack_part
from nnunet_prompt.federated.plan import Rounds
from nnunet_prompt.federated.site import Site
from nnunet_prompt.federated.traffic import Exchange


@dataclass(frozen=True, slots=True, eq=False)
class Federated:
    """The result of a federation: the shared part, the bytes, and the largest loss of the product rule per round."""

    shared: Part
    exchanges: tuple[Exchange, ...]
    lost: tuple[float, ...]


def federate(sites: Sequence[Site], plan: Rounds) -> Federated:
    """Runs the rounds at sites that are all in this process, one after the other.

    Raises `RefusedError` for sites that do not start from the same base, and without any.
    """
    bases = {site.base_sha256: site.config.site for site in sites}
    if len(bases) != 1:
        raise RefusedError(
            f"federation: expected sites that start from one base, found {len(bases)}"
            f" ({', '.join(bases.values())})"
        )
    shared = sites[0].start()
    exchanges, lost = [], []
    for number in progress(range(1, plan.rounds + 1), "federation", unit="round"):
        parts = [site.train(shared, None, plan.phase(number)) for site in sites]
        down = 0 if number == 1 else pack_part(shared).nbytes  # sites make the first one themselves
        exchanges += [
            Exchange(s.config.site, number, down, pack_part(p).nbytes)
            for s, p in zip(sites, parts, strict=True)
        ]
        mean = average(parts, [site.cases for site in sites])
        shared = mean.part
        lost.append(mean.lost)
    last = pack_part(shared).nbytes
    exchanges += [Exchange(s.config.site, plan.rounds + 1, last, 0) for s in sites]
    return Federated(shared, tuple(exchanges), tuple(lost))


def private_part(site: Site, shared: Part, plan: Rounds) -> Part | None:
    """The site's own part on top of the shared one; None where the plan has none."""
    if not plan.private_iterations:
        return None
    return site.train(site.private_start(), shared, plan.private_phase)
