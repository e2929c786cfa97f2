"""The Flower ServerApp: carries what `federated.server` asks to the SuperNodes. Needs the extra `federated`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import ServerApp

from nnunet_prompt.common.log import log_on_stderr
from nnunet_prompt.federated.exchange import Ask, Reply
from nnunet_prompt.federated.flower_app import ERROR_FILE
from nnunet_prompt.federated.plan import plan_of
from nnunet_prompt.federated.server import ServerRequest, serve

LOG = logging.getLogger("nnunet_prompt.federated.server_app")
app: Any = ServerApp()


class GridChannel:
    """A `Channel` over Flower's grid. A node that does not answer within `timeout_s` is left out of the round."""

    def __init__(self, grid: Any, timeout_s: float) -> None:
        self._grid, self._timeout_s = grid, timeout_s

    def sites(self) -> Sequence[int]:
        return list(self._grid.get_node_ids())

    def ask(self, ask: Ask, sites: Sequence[int]) -> Sequence[Reply]:
        settings = {**ask.settings, "action": ask.action, "round": ask.round}
        records = {
            "arrays": ArrayRecord({"part": Array(ask.numbers)}),
            "settings": ConfigRecord(settings),
        }
        messages = [
            Message(RecordDict(records), dst_node_id=site, message_type=MessageType.TRAIN)
            for site in sites
        ]
        found = []
        for one in self._grid.send_and_receive(messages, timeout=self._timeout_s):
            if one.has_error():
                LOG.warning("node %s: %s", one.metadata.src_node_id, one.error.reason)
            else:
                found.append(_reply(one.content))
        return found


def main(grid: Any, context: Any) -> None:
    """Runs a federation with the settings of its run."""
    config = context.run_config
    request = ServerRequest(
        plan_of(config),
        Path(str(config["output"])),
        min_sites=int(config["min-sites"]),
        seed=int(config["seed"]),
        patience_s=float(config["patience"]),
    )
    with log_on_stderr():
        try:
            serve(GridChannel(grid, float(config["timeout"])), request)
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            (request.output / ERROR_FILE).write_text(line + "\n", encoding="utf-8")
            raise


def _reply(content: Any) -> Reply:
    about, metrics = content["about"], dict(content["metrics"])
    dice = {name.removeprefix("dice "): float(v) for name, v in metrics.items() if name != "cases"}
    return Reply(
        str(about["site"]),
        str(about["agreement"]),
        int(metrics["cases"]),
        str(about["layout"]),
        content["arrays"]["part"].numpy(),
        dice,
    )


app.main()(main)
