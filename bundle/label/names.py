# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a name may be that a request brings: of an image, a tag, a model, a session, a file."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from bundle.errors import InputError

LONGEST_NAME = 255  # bytes, as file systems have it
_MOST_DECODINGS = 8
# fields of requests that hold words for people, which no path is made of
_FREE_TEXT = frozenset({"label_info", "device", "who", "remark"})


def _decodings(text: str, what: str) -> list[str]:
    """The text, and what it becomes each time that percent signs are decoded."""
    stages = [text]
    while (decoded := unquote(stages[-1])) != stages[-1]:
        stages.append(decoded)
        if len(stages) > _MOST_DECODINGS:
            raise InputError(f"{what}: it is encoded too many times; give the plain name.")
    return stages


def check_text(text: str, what: str) -> None:
    """Refuse control characters, NUL among them, and bytes that are no UTF-8.

    Raises:
        InputError: when there are any.
    """
    if re.search("[\x00-\x1f\x7f\ufffd\ud800-\udfff]", text):
        raise InputError(f"{what}: it holds a character that no name has; give the plain name.")


def check_name(text: str, what: str) -> None:
    """Refuse a name that could lead out of the folder it is looked up in, in any encoding.

    Args:
        text: the name; empty where a request leaves it out.
        what: where it stands, for the sentence.

    Raises:
        InputError: when it holds a separator, ``..`` or a control character, also percent-encoded, or is too long.
    """
    for stage in _decodings(text, what):
        check_text(stage, what)
        if "/" in stage or "\\" in stage or ".." in stage or stage == ".":
            raise InputError(f'{what}: a name holds no "/", "\\" or ".."; give the name that the server lists.')
    if len(text.encode(errors="replace")) > LONGEST_NAME:
        raise InputError(f"{what}: it is longer than {LONGEST_NAME} bytes; give the name that the server lists.")


def check_tag(text: str) -> None:
    """Refuse a tag that is not plain letters, digits, ``-`` and ``_``: folders are named by it.

    Raises:
        InputError: when it is.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text):
        raise InputError("tag: letters, digits, - and _ make a tag; use final or original.")


def file_name(text: str) -> str:
    """The last part of the name that a client gives an uploaded file.

    3D Slicer sends the whole path on its own machine; the folders in it say nothing to the server and are dropped.

    Raises:
        InputError: when a part is ``..``, or the last part is no name.
    """
    for stage in _decodings(text, "file name"):
        check_text(stage, "file name")
        if ".." in re.split(r"[/\\]", stage):
            raise InputError('file name: it holds ".."; give a plain name.')
    last = re.split(r"[/\\]", text)[-1]
    check_name(last, "file name")
    return last


def check_json(value: Any, what: str) -> None:
    """Refuse names in a JSON value, at any depth, that :py:func:`check_name` refuses.

    Raises:
        InputError: when there is one.
    """
    if isinstance(value, str):
        check_name(value, what)
    elif isinstance(value, list):
        for item in value:
            check_json(item, what)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_name(key, f"{what}, a key")
            if key in _FREE_TEXT:
                _check_free(item, f"{what}, {key}")
            else:
                check_json(item, f"{what}, {key}")


def _check_free(value: Any, what: str) -> None:
    if isinstance(value, str):
        check_text(value, what)
    elif isinstance(value, list):
        for item in value:
            _check_free(item, what)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_free(key, what)
            _check_free(item, what)


def check_keys(value: Any, allowed: Collection[str], what: str) -> None:
    """Refuse a JSON value that is no object, or sets something else than ``allowed``.

    Raises:
        InputError: naming the key.
    """
    if not isinstance(value, dict):
        raise InputError(f"{what}: it is not a JSON object; give one, as in {{}}.")
    others = sorted(set(value) - set(allowed))
    if others:
        raise InputError(f"{what}: {others[0]} cannot be set by a request; leave it out.")
