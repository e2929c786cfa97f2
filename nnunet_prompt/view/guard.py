"""Who may talk to the server: a layer around the app that checks each request before it is answered.

A page of another site cannot read our answers, since there is no CORS, nor, by a name that it points at this machine
(DNS rebinding), since the Host header must name the address that we listen on, nor write, since each POST carries a
header of ours, which no form can send. Where a token is set it comes once in the address of the page and is kept in a
cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nnunet_prompt.view.options import LOOPBACK

COOKIE = "nnunet_prompt_token"
POST_HEADER = "x-nnunet-prompt"
_ALL = ("0.0.0.0", "::", "")  # every address of the machine, whose names we cannot know

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI app around another one."""

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        self._app = app
        self._hosts = None if host in _ALL else {*LOOPBACK} if host in LOOPBACK else {host.lower()}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or refuses a request; other kinds than HTTP and the start and end are refused."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._refusal(scope) or self._app
        return await answer(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._hosts is not None and _name_of(host) not in self._hosts:
            return _refused(403, "Host header: expected the address that the server printed")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            return _refused(403, "Origin header: expected the server's own address")
        if scope["method"] not in ("GET", "HEAD") and POST_HEADER not in headers:
            return _refused(403, f"header {POST_HEADER}: missing")
        return None if self._token is None else self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        assert self._token is not None
        if scope["path"] == "/":
            given = QueryParams(scope["query_string"]).get("token", "")
            if _same(given, self._token):
                page = RedirectResponse("/", 303)
                page.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
                return page
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if _same(bearer, self._token) or _same(cookie, self._token):
            return None
        return _refused(401, "token: open the address that the server printed, which ends in it")


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _name_of(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
