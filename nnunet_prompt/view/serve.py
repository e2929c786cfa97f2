"""Starts the live page: `nnunet-prompt view`."""

from __future__ import annotations

import importlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import NNUNetPromptError, system_reason
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.view.options import ViewOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nnunet_prompt.view.desk import Desk

_log = logging.getLogger(__name__)


def serve(
    model: Path | str,
    view: ViewOptions = ViewOptions(),  # noqa: B008 - frozen
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    *,
    ready: Callable[[str], object] = _log.info,
) -> None:
    """Loads a model and serves its page until Ctrl-C; `ready` gets the address once it can be opened.

    Raises `NNUNetPromptError` where the extra `view` is not installed, the model or the images cannot be used, or the
    address is taken.
    """
    for name in ("starlette", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise NNUNetPromptError(
                f"view: {name} is not installed here; pip install 'nnunet-prompt[view]'"
            ) from error
    listening = listen(view)
    try:
        from nnunet_prompt.inference.predictor import PromptPredictor
        from nnunet_prompt.view.desk import Desk

        desk = Desk(PromptPredictor(Path(model), options), view, model=Path(model))
        try:
            run(desk, view, listening, ready)
        finally:
            desk.close()
    finally:
        listening.close()


def build(desk: Desk, view: ViewOptions) -> ASGIApp:
    """The app with its guard, as a server takes it."""
    from nnunet_prompt.view.app import App
    from nnunet_prompt.view.guard import Guard

    return Guard(App(desk).build(), view.host, view.token)


def listen(view: ViewOptions) -> socket.socket:
    """A socket on the address. Raises `NNUNetPromptError` where it is taken or not of this machine."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            view.host, view.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        raise NNUNetPromptError(
            f"--host {view.host} --port {view.port}: {system_reason(error)}; give another --port, or 0 for a free one"
        ) from error
    return opened


def run(
    desk: Desk, view: ViewOptions, listening: socket.socket, ready: Callable[[str], object]
) -> None:
    """Serves a desk on a socket until Ctrl-C."""
    import uvicorn

    class Server(uvicorn.Server):
        """Reports when it answers."""

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready(address(view, listening))

    config = uvicorn.Config(
        build(desk, view), log_level="warning", access_log=False, timeout_graceful_shutdown=3
    )
    Server(config).run(sockets=[listening])


def address(view: ViewOptions, listening: socket.socket) -> str:
    """The address of the page, with the token where there is one."""
    host = f"[{view.host}]" if ":" in view.host else view.host
    token = "" if view.token is None else f"?token={view.token}"
    return f"http://{host}:{listening.getsockname()[1]}/{token}"
