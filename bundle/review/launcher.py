# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Start the review page. Nothing heavy is imported before the folder has been looked at."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from bundle.errors import InputError

HOST = "127.0.0.1"


def _check_installed() -> None:
    missing = [name for name in ("starlette", "uvicorn", "ipyniivue") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{missing[0]} is not installed, which the review page needs; run "
            "pip install ipyniivue==2.4.4 starlette uvicorn."
        )


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # a browser that comes early waits
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise InputError(
            f"--port {port}: it cannot be used ({error.strerror}); give another one, or 0 for any."
        ) from error
    return listener


def start(
    output_dir: str | Path, *, port: int, keep: int, browser: bool, config: Sequence[str] = (), **options: Any
) -> None:
    """Serve the page for the results of a run; it runs until it is stopped.

    Args:
        output_dir: output folder of ``itermask2 segment``.
        port: to listen on, of this machine alone; 0 for any that is free.
        keep: scans that are kept ready for clicks.
        browser: whether to open the page in a browser.
        config: names of configs that the run was made with.
        options: of ``itermask2 segment`` that the run was made with.

    Raises:
        InputError: when there is no case to review, the port is taken, or the viewer is not installed.
    """
    _check_installed()
    from bundle.review.reviewable import check_reviewable

    left_out = check_reviewable(output_dir)
    folder = Path(output_dir).resolve()
    with _listening(port) as listener:
        import uvicorn

        from bundle.label.made_with import made_with
        from bundle.review.prepared import modality_of, preparing
        from bundle.review.reviewable import reviewable_cases
        from bundle.review.server import guarded
        from bundle.review.session import Session

        @cache
        def noted(modality: str) -> dict[str, Any]:
            return made_with(config, {"modality": modality, **options})

        # weights that cannot be read are told before the page opens
        noted(modality_of(next(reviewable_cases(folder))))
        session = Session(folder, preparing(config, options), keep, lambda case: noted(modality_of(case)))
        token, port = secrets.token_urlsafe(), listener.getsockname()[1]
        address = f"http://{HOST}:{port}/?token={token}"
        print(f"Results: {folder}\nReview in a browser on this machine: {address}\nStop with Ctrl+C.", flush=True)
        for fault in left_out:
            print(f"Left out: {fault}", flush=True)
        if browser:
            webbrowser.open(address)
        settings = uvicorn.Config(
            guarded(session, host=HOST, port=port, token=token),
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        try:
            # the way to stop it
            with suppress(KeyboardInterrupt):
                uvicorn.Server(settings).run([listener])
        finally:
            session.states.close()
