"""The requests of the page and their answers. Errors are one line of JSON: {"error": "..."}.

    GET  /                      the page; /static/... its parts
    GET  /api/start             the model, its structures and the cases of the list
    POST /api/upload?name=      an image; answers {"id": ...}
    POST /api/open              {"case": id} or {"uploads": [id, ...]}; answers the geometry, and the tab's key
    GET  /api/image?channel=    the voxels (`view.wire`); this and all below with the header X-Tab
    POST /api/prompt            {"label": 500, "kind": "point", "position": [i, j, k], "positive": true}; the mask
    POST /api/remove            {"label": 500, "kind": "point", "number": 0}, counted in the answer; the mask
    POST /api/undo, redo, reset, automatic {"on"}, lock {"label", "on"}, state: answer the mask
    GET  /api/prompts           the prompts as a file; POST /api/prompts?name= reads them back and answers the mask
    GET  /api/mask              the mask as a file on the image's grid; POST /api/save writes it to the output folder

One request at a time works with the model, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.view.desk import Desk
from nnunet_prompt.view.tab import Tab
from nnunet_prompt.view.tabs import GoneError
from nnunet_prompt.view.wire import answer_bytes

_LOG = logging.getLogger(__name__)
_MOST_JSON = 8 << 20
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
T = TypeVar("T")
Change = Callable[[Tab, dict[str, Any]], object]

# What the page does with a tab, each answered by the mask
CHANGES: dict[str, Change] = {
    "prompt": Desk.add_prompt,
    "remove": Desk.remove_prompt,
    "undo": lambda tab, _: tab.undo(),
    "redo": lambda tab, _: tab.redo(),
    "reset": lambda tab, _: tab.reset(),
    "automatic": lambda tab, given: tab.switch_automatic(_switch(given)),
    "lock": lambda tab, given: tab.lock(given.get("label", ""), _switch(given)),
    "state": lambda tab, _: None,
}


class App:
    """The handlers of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._model = asyncio.Lock()

    def build(self) -> Starlette:
        """The Starlette app, without the guard."""
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._page),
            Route("/api/start", self._start),
            Route("/api/upload", self._upload, methods=["POST"]),
            Route("/api/open", self._open, methods=["POST"]),
            Route("/api/image", self._image),
            Route("/api/prompts", self._prompts, methods=["GET", "POST"]),
            Route("/api/mask", self._mask),
            Route("/api/save", self._save, methods=["POST"]),
            Route("/api/{change}", self._change, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: _http_error,
            NNUNetPromptError: _user_error,
            OSError: _user_error,
            Exception: _own_error,
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        found = {f.name: f for f in files("nnunet_prompt.view").joinpath("static").iterdir()}
        if name not in found:
            raise HTTPException(404, f"{name}: no such page")
        ending = name[name.rfind(".") :]
        return Response(found[name].read_bytes(), media_type=_KINDS.get(ending, "text/plain"))

    async def _start(self, request: Request) -> Response:
        return JSONResponse(self._desk.start())

    async def _upload(self, request: Request) -> Response:
        key, path = self._desk.uploads.place(request.query_params.get("name", ""))
        try:
            with path.open("wb") as file:
                async for chunk in _bounded(request, self._desk.most_upload):
                    file.write(chunk)
        except BaseException:
            self._desk.uploads.remove(key)
            raise
        return JSONResponse({"id": key})

    async def _open(self, request: Request) -> Response:
        given = await _json(request)
        key = request.headers.get("x-tab")
        return JSONResponse(await self._alone(lambda: self._desk.open(given, key)))

    async def _image(self, request: Request) -> Response:
        tab, channel = self._tab(request), request.query_params.get("channel", "0")
        return _packed(await run_in_threadpool(lambda: self._desk.image(tab, channel)))

    async def _change(self, request: Request) -> Response:
        change = CHANGES.get(request.path_params["change"])
        if change is None:
            raise HTTPException(404, "no such request")
        given, tab = await _json(request), self._tab(request)
        return _packed(await self._alone(lambda: self._answer(change, tab, given)))

    def _answer(self, change: Change, tab: Tab, given: dict[str, Any]) -> bytes:
        change(tab, given)
        self._desk.tabs.trim()
        return answer_bytes(tab)

    async def _prompts(self, request: Request) -> Response:
        tab = self._tab(request)
        if request.method != "POST":
            return _download(*await self._alone(lambda: self._desk.export_prompts(tab)))
        name = request.query_params.get("name", "")
        content = b"".join([chunk async for chunk in _bounded(request, self._desk.most_upload)])

        def read(tab: Tab, _: dict[str, Any]) -> None:
            self._desk.read_prompts(tab, name, content)

        return _packed(await self._alone(lambda: self._answer(read, tab, {})))

    async def _mask(self, request: Request) -> Response:
        tab = self._tab(request)
        return _download(*await self._alone(lambda: self._desk.export_mask(tab)))

    async def _save(self, request: Request) -> Response:
        tab = self._tab(request)
        return JSONResponse({"files": await self._alone(lambda: self._desk.save(tab))})

    def _tab(self, request: Request) -> Tab:
        return self._desk.tabs.find(request.headers.get("x-tab", ""))

    async def _alone(self, work: Callable[[], T]) -> T:
        """Does what needs the model or changes a tab, in a thread, while nothing else does."""
        async with self._model:
            return await run_in_threadpool(work)


def _switch(given: dict[str, Any]) -> bool:
    on = given.get("on")
    if not isinstance(on, bool):
        raise NNUNetPromptError(f"on: expected true or false, found {on!r}")
    return on


async def _bounded(request: Request, most: int) -> Any:
    """The body in chunks; raises 413 for one of more than `most` bytes."""
    too_large = HTTPException(413, f"more than {most >> 20} MiB, which is refused (--upload)")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise too_large
        yield chunk


async def _json(request: Request) -> dict[str, Any]:
    content = b"".join([chunk async for chunk in _bounded(request, _MOST_JSON)])
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NNUNetPromptError("request: expected a JSON object")
    return found


def _packed(content: bytes) -> Response:
    headers = {"Content-Encoding": "gzip"}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _download(name: str, content: bytes) -> Response:
    return Response(
        content,
        media_type="application/octet-stream",
        headers={"X-Name": name.encode("ascii", "xmlcharrefreplace").decode()},
    )


async def _http_error(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code)


async def _user_error(request: Request, error: Exception) -> Response:
    line = " ".join(str(error).split()) or type(error).__name__
    return JSONResponse({"error": line}, 410 if isinstance(error, GoneError) else 400)


async def _own_error(request: Request, error: Exception) -> Response:
    _LOG.error("%s: %s", request.url.path, " ".join(repr(error).split()))
    name = type(error).__name__
    return JSONResponse({"error": f"the server failed ({name}); its terminal shows more"}, 500)
