"""A site's answers: it trains the shared part, and in the end its own, and never sends anything of a case."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from nnunet_prompt.federated.exchange import Ask, Reply
from nnunet_prompt.federated.part import Array, Part, layout_json, layout_of, pack_part, unpack_part
from nnunet_prompt.federated.plan import plan_of
from nnunet_prompt.federated.rounds import private_part
from nnunet_prompt.federated.site import Site
from nnunet_prompt.federated.site_config import NodeConfig

LOG = logging.getLogger(__name__)


def answer(config: NodeConfig, ask: Ask) -> Reply:
    """The answer of a site. It depends on its arguments and the cases alone, so a restarted site answers alike.

    Raises `ModelError` and `RefusedError` for numbers, data and weights that do not fit.
    """
    plan, seed = plan_of(ask.settings), int(ask.settings["seed"])
    site = Site(config, seed=seed)
    start = site.start()
    shared = (
        unpack_part(ask.numbers, layout_of(start), source="server") if len(ask.numbers) else start
    )
    before = {"shared": site.patch_dice(shared)}
    if ask.action == "train":
        part = site.train(shared, None, plan.phase(ask.round))
        return _reply(site, pack_part(part), before, part)
    own = private_part(site, shared, plan)
    if own is not None:
        before["shared + private"] = site.patch_dice(own, shared)
    written = site.write(shared, own)
    LOG.info("%s: wrote %s", config.site, written)
    return _reply(site, np.zeros(0, np.float32), before, start)


def _reply(site: Site, numbers: Array, dice: Mapping[str, float], like: Part) -> Reply:
    name = site.config.site
    return Reply(name, site.agreement, site.cases, layout_json(layout_of(like)), numbers, dice)
