# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Bodies of requests: read once, checked, and handed on with the names of files made plain."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import IO, Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bundle.errors import InputError
from bundle.label.names import check_json, check_keys, check_name, file_name
from bundle.label.routes import Route

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_IN_MEMORY = 2**24  # bytes; more goes to disk
_CHUNK = 2**20  # bytes
# fields of forms that hold JSON
_JSON_FIELDS = frozenset({"params", "info"})


class TooLargeError(InputError):
    """A body that is longer than its route takes."""


def _file() -> IO[bytes]:
    """A file that lies in memory while it is small; whoever gets it closes it."""
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)


async def read_body(receive: Receive, largest: int) -> IO[bytes]:
    """Read a whole body, of at most ``largest`` bytes, into a file that lies in memory while it is small.

    Raises:
        TooLargeError: as soon as it is too long.
        ConnectionError: when the client goes away before the end.
    """
    body = _file()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client went away")
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
        if body.tell() > largest:
            raise TooLargeError(f"The request is longer than {largest >> 20} MB; send less.")
    return body


def replay(body: IO[bytes], receive: Receive) -> Receive:
    """A ``receive`` that gives the body again, from its start."""
    length = body.seek(0, 2)
    body.seek(0)
    finished = False

    async def again() -> Message:
        nonlocal finished
        if finished:
            return await receive()
        chunk = body.read(_CHUNK)
        finished = body.tell() == length
        return {"type": "http.request", "body": chunk, "more_body": not finished}

    return again


def _check_json_text(text: str, what: str) -> Any:
    try:
        value = json.loads(text or "{}")
        check_json(value, what)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{what}: it is not JSON, or too deep; send a JSON object, as in {{}}.") from error
    return value


def _check_field(name: str, value: str, route: Route) -> None:
    check_name(name, "name of a field")
    if name not in _JSON_FIELDS:
        check_name(value, name)
        return
    decoded = _check_json_text(value, name)
    if route.parameters is not None:
        check_keys(decoded, route.parameters, name)
    elif not isinstance(decoded, dict):
        raise InputError(f"{name}: it is not a JSON object; send one, as in {{}}.")


def _part(boundary: bytes, disposition: str, content_type: str = "") -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return b"--" + boundary + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n"


def _quoted(text: str) -> str:
    return text.replace('"', "%22")


async def _check_form(body: IO[bytes], headers: Headers, route: Route) -> tuple[IO[bytes], str]:
    """Check a multipart form, and write it again with nothing in it but what was checked."""

    async def chunks():
        body.seek(0)
        while chunk := body.read(_CHUNK):
            yield chunk

    try:
        form = await MultiPartParser(headers, chunks(), max_files=1000, max_part_size=2**20).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InputError("The form of the request cannot be read; send multipart/form-data.") from error
    boundary = secrets.token_hex(16).encode()
    rewritten = _file()
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            check_name(name, "name of a field")
            if name not in route.files:
                raise InputError(f"{name}: no file can be sent with this request; leave it out.")
            plain = file_name(value.filename or "")
            rewritten.write(
                _part(boundary, f'name="{_quoted(name)}"; filename="{_quoted(plain)}"', "application/octet-stream")
            )
            await value.seek(0)
            shutil.copyfileobj(value.file, rewritten)
        else:
            _check_field(name, value, route)
            rewritten.write(_part(boundary, f'name="{_quoted(name)}"') + value.encode())
        rewritten.write(b"\r\n")
    rewritten.write(b"--" + boundary + b"--\r\n")
    await form.close()
    return rewritten, f"multipart/form-data; boundary={boundary.decode()}"


async def checked_body(body: IO[bytes], headers: Headers, route: Route) -> tuple[IO[bytes], str]:
    """Check every name in a body.

    Args:
        body: as :py:func:`read_body` gives it.
        headers: of the request.
        route: that the request takes.

    Returns:
        tuple: the body to hand on, and its content type.

    Raises:
        InputError: when a name, a parameter or a file is refused, or the body is of another kind than clients send.
    """
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if not body.seek(0, 2):
        return body, content_type
    if kind == "multipart/form-data":
        return await _check_form(body, headers, route)
    body.seek(0)
    try:
        text = body.read().decode()
    except UnicodeDecodeError as error:
        raise InputError("The body of the request is not UTF-8; send JSON or a form.") from error
    if kind == "application/json":
        _check_json_text(text, "body")
    elif kind == "application/x-www-form-urlencoded":
        _check_urlencoded(text, route)
    else:
        raise InputError(f"A body of the type {kind or 'that is not given'} is not taken; send JSON or a form.")
    return body, content_type


def _check_urlencoded(text: str, route: Route) -> None:
    for name, value in parse_qsl(text, keep_blank_values=True):
        _check_field(name, value, route)


def check_query(query: bytes, allowed: Collection[str] | None) -> None:
    """Check every name in the part of an address after ``?``.

    Raises:
        InputError: when one is refused.
    """
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise InputError("The address is not UTF-8; give the name that the server lists.") from error
    for name, value in pairs:
        check_name(name, "name of a parameter")
        check_name(value, name)
        if allowed is not None and name not in allowed:
            raise InputError(f"{name}: it cannot be set by this request; leave it out.")
