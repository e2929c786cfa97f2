"""The Flower ClientApp: carries what the server asks to `federated.client`. Needs the extra `federated`."""

from __future__ import annotations

from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import log_on_stderr
from nnunet_prompt.federated.client import answer
from nnunet_prompt.federated.exchange import Ask
from nnunet_prompt.federated.site_config import NodeConfig

app: Any = ClientApp()


def reply(message: Any, context: Any) -> Any:
    """The reply to a message of `server_app`; an error of ours reaches the server as one line."""
    content, settings = message.content, dict(message.content["settings"])
    numbers = content["arrays"]["part"].numpy()
    action, number = settings.pop("action"), int(settings.pop("round"))
    try:
        with log_on_stderr():
            site = NodeConfig.from_flower(context.node_config)
            found = answer(site, Ask(action, number, numbers, settings))
    except NNUNetPromptError as error:
        line = " ".join(str(error).split())
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, line), reply_to=message)
    about = {"site": found.site, "agreement": found.agreement, "layout": found.layout}
    metrics = {f"dice {name}": value for name, value in found.dice.items()}
    records = {
        "arrays": ArrayRecord({"part": Array(found.numbers)}),
        "about": ConfigRecord(about),
        "metrics": MetricRecord({"cases": found.cases, **metrics}),
    }
    return Message(content=RecordDict(records), reply_to=message)


app.train()(reply)
