# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The server of the review page: which addresses there are, and what they answer."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Address

from bundle.errors import InputError
from bundle.label.gate import Gate
from bundle.label.routes import Route
from bundle.review.layers import LAYERS
from bundle.review.niivue import niivue_module
from bundle.review.session import Session, UnknownCase
from bundle.review.versions import Conflict

PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LARGEST_BODY = 2**23  # bytes
_CASE = "/cases/[0-9a-f]{12}"
ROUTES = (
    Route("GET HEAD", "/", query=("token",)),
    Route("GET", r"/page/[a-z]+\.(css|js|svg)"),
    Route("GET", "/cases", query=()),
    Route("GET", _CASE, query=()),
    Route("GET", f"{_CASE}/note", query=()),
    Route("GET", rf"{_CASE}/versions/\d{{1,6}}/({'|'.join(LAYERS)})\.nii", query=()),
    Route("POST", f"{_CASE}/(strokes|verdict)", query=(), largest=_LARGEST_BODY),
)
# the page loads nothing from elsewhere; NiiVue reads its shaders' pictures from data: and unpacks in blob: workers
_ALONE = (
    "default-src 'none'; script-src 'self'; worker-src blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def _file(content: bytes | str, kind: str, **headers: str) -> Response:
    return Response(content, media_type=kind, headers={"cache-control": "no-store", **headers})


def _json(value: Any) -> JSONResponse:
    return JSONResponse(value, headers={"cache-control": "no-store"})


async def _object(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.body())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError("The body of the request is no JSON object; send one, as in {}.")
    return value


async def _refused(request: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, UnknownCase) else 409 if isinstance(error, Conflict) else 400
    return JSONResponse({"detail": str(error)}, status)


def make_app(session: Session) -> Starlette:
    """The web application of a review, to be put behind the gate."""
    viewer = niivue_module()
    page = {path.name: path.read_text() for path in PAGE.iterdir() if path.suffix in _TYPES}

    async def index(request: Request) -> Response:
        return _file(page["index.html"], "text/html", **{"content-security-policy": _ALONE})

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "niivue.js":
            return _file(viewer, "text/javascript")
        if name not in page:
            raise UnknownCase("There is no such part of the page.")
        return _file(page[name], _TYPES[Path(name).suffix])

    async def cases(request: Request) -> Response:
        return _json({"cases": session.rows(), "user": getpass.getuser()})

    async def case(request: Request) -> Response:
        return _json(session.facts(request.path_params["case"]))

    async def note(request: Request) -> Response:
        return _json({"note": await session.note(request.path_params["case"])})

    async def layer(request: Request) -> Response:
        of = request.path_params
        content = await session.layer(of["case"], int(of["version"]), of["layer"])
        return _file(content, "application/octet-stream")

    async def strokes(request: Request) -> Response:
        return _json(await session.change(request.path_params["case"], await _object(request)))

    async def verdict(request: Request) -> Response:
        return _json(session.decide(request.path_params["case"], await _object(request)))

    addresses: list[tuple[str, Callable, str]] = [
        ("/", index, "GET"),
        ("/page/{name}", part, "GET"),
        ("/cases", cases, "GET"),
        ("/cases/{case}", case, "GET"),
        ("/cases/{case}/note", note, "GET"),
        ("/cases/{case}/versions/{version}/{layer}.nii", layer, "GET"),
        ("/cases/{case}/strokes", strokes, "POST"),
        ("/cases/{case}/verdict", verdict, "POST"),
    ]
    return Starlette(
        routes=[Address(path, function, methods=[method]) for path, function, method in addresses],
        exception_handlers={InputError: _refused},
    )


def guarded(session: Session, *, host: str, port: int, token: str) -> Gate:
    """The application behind the gate: the right host, the token, and nothing but the requests above."""
    # cookies do not tell ports apart
    return Gate(make_app(session), host=host, token=token, routes=ROUTES, home="/", cookie=f"itermask2_review_{port}")
