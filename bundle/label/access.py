# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Who can reach the server: this machine alone, or others with a token."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from bundle.errors import InputError
from bundle.label.routes import GROUPS

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "ITERMASK2_LABEL_TOKEN"
SHORTEST_TOKEN = 16


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_access(host: str, port: int, allow: Sequence[str], allow_remote: bool, token: str) -> None:
    """Refuse to open more than was asked for.

    Raises:
        InputError: when a group of requests does not exist, or other machines could come in without a token.
    """
    for group in allow:
        if group not in GROUPS:
            raise InputError(f"--allow {group}: there is no such group of requests; give one of {', '.join(GROUPS)}.")
    if not 0 < port < 65536:
        raise InputError(f"--port {port}: ports go from 1 to 65535; give one of these, 8000 for instance.")
    if not is_loopback(host) and not allow_remote:
        raise InputError(
            f"--host {host}: other machines could reach the server; add --allow-remote and a token, "
            "or keep 127.0.0.1 and come in through ssh -L."
        )
    if not is_loopback(host) and not token:
        raise InputError(
            f"--host {host}: other machines could reach the server without a password; "
            f"set {TOKEN_VARIABLE} to a long random text (python -c 'import secrets; print(secrets.token_urlsafe())')."
        )
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise InputError(f"{TOKEN_VARIABLE}: a token is {SHORTEST_TOKEN} or more plain characters without a space.")
