"""A review of small heads, served in a thread on loopback; its model is tiny, so answers come at once."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from bundle.review.prepared import preparing
from bundle.review.server import guarded
from bundle.review.session import Session
from tests.answers import Answer
from tests.interaction.conftest import TINY

TOKEN = "a-token-that-nobody-guesses"
MADE_WITH = {"weights": {"file": "tiny.pt"}, "settings": {}}


class Served:
    """A review that is served."""

    def __init__(self, port: int, session: Session) -> None:
        self.port = port
        self.session = session
        self.address = f"http://127.0.0.1:{port}/?token={TOKEN}"

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {TOKEN}", **({"Content-Type": "application/json"} if content else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, target, content, {**given, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def id_of(self, case: str) -> str:
        return next(row["id"] for row in self.ask("GET", "/cases").json["cases"] if row["case"] == case)


@contextmanager
def serving(results: Path, weights: Path) -> Iterator[Served]:
    """Serve the results of a run with the tiny model, until the end of the block."""
    session = Session(results, preparing((), {**TINY, "ckpt_path": str(weights)}), 2, lambda case: MADE_WITH)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        app = guarded(session, host="127.0.0.1", port=port, token=TOKEN)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield Served(port, session)
        finally:
            server.should_exit = True
            thread.join(10)
            session.states.close()
