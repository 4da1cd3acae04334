"""What a server of ours answers, and the sentence of its errors."""

from __future__ import annotations

import http.client
import json
from typing import Any


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """What an error says: one JSON object with one sentence, and nothing else."""
        assert self.headers["content-type"] == "application/json", (self.status, self.body)
        assert set(self.json) == {"detail"}, self.json
        text = self.json["detail"]
        assert text.endswith(".") and "\n" not in text and "Traceback" not in text, text
        return text
