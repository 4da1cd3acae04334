# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The gate before a server: who may ask, and for what.

A request passes when its ``Host`` and ``Origin`` are the server's own, when it brings the token (where there is one),
when it takes a route that is open, and when no name in it, in whatever encoding, could lead out of a folder. All others
get one JSON sentence, and the server behind never hears of them.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response

from bundle.errors import InputError
from bundle.label.access import LOOPBACK
from bundle.label.bodies import Message, Receive, TooLargeError, check_query, checked_body, read_body, replay
from bundle.label.names import check_name
from bundle.label.routes import GROUPS, ROUTES, Route, find_route

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "itermask2_label_token"
# no other page may show, read or reinterpret an answer
_ANSWER_HEADERS = {
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}
_BODY_HEADERS = (b"content-type", b"content-length", b"transfer-encoding")
_log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is not served; its message is the sentence of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def _host_of(authority: str) -> str:
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Gate:
    """An ASGI application around another one.

    Args:
        app: the one that answers.
        host: that the server listens on.
        allowed: the groups of :py:data:`bundle.label.routes.GROUPS` that are open.
        token: that each request has to bring: as ``Authorization: Bearer TOKEN``, as the first part of the path
            (``/token/TOKEN/info/``), or as the cookie that opening any page with ``?token=TOKEN`` sets. Empty: none.
        dicomweb: whether the studies lie on a DICOMweb server.
        routes: the requests that are served.
        home: where the bare address leads.
        cookie: name of the cookie that keeps the token.
    """

    def __init__(
        self,
        app: Application,
        *,
        host: str,
        allowed: Collection[str] = (),
        token: str = "",
        dicomweb: bool = False,
        routes: Sequence[Route] = ROUTES,
        home: str = "/ohif/",
        cookie: str = COOKIE,
    ) -> None:
        self.app = app
        self.allowed = frozenset(allowed)
        self.token = token
        self.dicomweb = dicomweb
        self.routes = routes
        self.home = home
        self.cookie = cookie
        wildcard = host in ("0.0.0.0", "::")
        # a server on all addresses has many names; there the token alone tells who may ask
        self.hosts = None if wildcard and token else {*LOOPBACK, host.strip("[]").lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_ANSWER_HEADERS)
            await send(message)

        try:
            answer = await self._serve(scope, receive, send_with_headers)
        except ConnectionError:
            return
        except Exception as error:
            answer = _answer_to(error, scope)
        if answer is not None and not started:
            await answer(scope, receive, send_with_headers)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Pass a request on; or the answer, where the gate itself has one."""
        headers = Headers(scope=scope)
        self._check_origin(headers, scope["scheme"])
        scope, answer = self._check_token(dict(scope), headers)
        if answer is not None:
            return answer
        path = _checked_path(scope)
        if path == "/" != self.home and scope["method"] == "GET":
            return RedirectResponse(self.home)
        if scope["method"] == "OPTIONS":
            await self.app(scope, receive, send)
            return None
        route = self._open_route(scope["method"], path)
        check_query(scope["query_string"], route.query)
        with await read_body(receive, route.largest) as body:
            checked, content_type = await checked_body(body, headers, route)
            with checked:
                own = [pair for pair in scope["headers"] if pair[0] not in _BODY_HEADERS]
                length = str(checked.seek(0, 2)).encode()
                if content_type:
                    own.append((b"content-type", content_type.encode("latin-1")))
                scope["headers"] = [*own, (b"content-length", length)]
                await self.app(scope, replay(checked, receive), send)
        return None

    def _check_origin(self, headers: Headers, scheme: str) -> None:
        hosts = headers.getlist("host")
        own = hosts[0].lower() if len(hosts) == 1 else ""
        if not _host_of(own) or (self.hosts is not None and _host_of(own) not in self.hosts):
            raise Refused(403, "This server does not go by that name; use the address that it printed when it started.")
        site = headers.get("sec-fetch-site", "none")
        origins = [origin.lower() for origin in headers.getlist("origin")]
        if any(origin != f"{scheme}://{own}" for origin in origins) or site not in ("none", "same-origin"):
            raise Refused(403, "Pages of other sites are not answered; open the viewer at this server's own address.")

    def _check_token(self, scope: Scope, headers: Headers) -> tuple[Scope, Response | None]:
        if not self.token:
            return scope, None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given):
            return scope, None
        if self._is_token(cookie_parser(headers.get("cookie", "")).get(self.cookie, "")):
            return scope, None
        raw = _raw_path(scope)
        prefix = f"/token/{quote(self.token, safe='')}/".encode()
        if hmac.compare_digest(raw[: len(prefix)], prefix):
            raw = raw[len(prefix) - 1 :]
            return {**scope, "raw_path": raw, "path": unquote_to_bytes(raw).decode(errors="replace")}, None
        if scope["method"] == "GET" and self._is_token(QueryParams(scope["query_string"]).get("token", "")):
            answer = RedirectResponse(quote(scope["path"]) if scope["path"] != "/" else self.home, 303)
            answer.set_cookie(
                self.cookie, self.token, httponly=True, samesite="strict", secure=scope["scheme"] == "https"
            )
            return scope, answer
        raise Refused(
            401, "The token is missing or wrong; send it as Authorization: Bearer TOKEN, or open /?token=TOKEN."
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _open_route(self, method: str, path: str) -> Route:
        route = find_route(method, path, self.routes, dicomweb=self.dicomweb)
        if route is None:
            methods = {
                name
                for other in self.routes
                for name in other.methods.split()
                if find_route(name, path, self.routes, dicomweb=self.dicomweb) is not None
            }
            if methods:
                raise Refused(405, f"This address takes {' and '.join(sorted(methods))} alone, not {method}.")
            raise Refused(404, "There is no such address here; a review needs none but those that viewers use.")
        if route.group is not None and route.group not in self.allowed:
            raise Refused(
                403,
                f"This is closed, since a review does not need it ({GROUPS[route.group]}); "
                f"start with --allow {route.group}.",
            )
        return route


def _sentence(status: int, text: str) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"detail": text}, status, headers=headers)


def _answer_to(error: Exception, scope: Scope) -> JSONResponse:
    """What a request is told that was refused, or that failed."""
    if isinstance(error, Refused):
        return _sentence(error.status, str(error))
    if isinstance(error, InputError):
        return _sentence(413 if isinstance(error, TooLargeError) else 400, str(error))
    _log.error("%s %s", scope["method"], scope["path"], exc_info=error)
    return _sentence(500, "The server could not answer this request; its log says why.")


def _raw_path(scope: Scope) -> bytes:
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return bytes(raw).partition(b"?")[0]


def _checked_path(scope: Scope) -> str:
    """The path of a request, each part of which is a plain name.

    Raises:
        InputError: when one is not.
    """
    first, *parts = _raw_path(scope).split(b"/")
    *folders, last = parts or [b""]
    if first or b"" in folders:
        raise InputError("address: it has empty parts; give the address as the server lists it.")
    names = []
    for part in (*folders, last):
        name = unquote_to_bytes(part).decode(errors="replace")
        check_name(name, "address")
        names.append(name)
    return "/" + "/".join(names)
