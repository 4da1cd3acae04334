"""The real MONAI Label server, on loopback, and what a client sends it.

Run by ``make test-label``; the server runs in the environment of requirements-label.txt, the tests in the other one.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.label.routes import GROUPS
from tests.answers import Answer
from tests.heads import AFFINE, save, simulate_head

SERVER_PYTHON = os.environ.get("LABEL_PYTHON", ".venv-label/bin/python")
MODEL = "itermask2_segmentation"
TOKEN = "a-token-that-nobody-guesses"
# one thread: sums in another order could move a pixel across the threshold
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def form(fields: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form, with the names of files as they are given."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (file_name, content) in (files or {}).items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n\r\n'
        parts.append(head.encode("latin-1") + content + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@dataclass
class Server:
    """A running server, its folder of scans and its work folder."""

    port: int
    studies: Path
    work: Path
    headers: dict[str, str]

    def ask(self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request, its target sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, target, body, {**self.headers, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def send(
        self, method: str, target: str, fields: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None
    ) -> Answer:
        """One request with a form."""
        body, headers = form(fields, files)
        return self.ask(method, target, body, headers)

    def save_label(self, content: bytes, image: str = "flipped", tag: str = "final", name: str = "l.nii.gz") -> Answer:
        return self.send(
            "PUT", f"/datastore/label?image={image}&tag={tag}", {"params": "{}"}, {"label": (name, content)}
        )

    @property
    def served(self) -> Path:
        return self.served_from(self.studies)

    def served_from(self, studies: Path) -> Path:
        (folder,) = self.work.glob(f"{studies.name}-*")
        return folder

    def labels(self, tag: str = "final") -> list[Path]:
        return sorted((self.served / "labels" / tag).glob("*"))

    def earlier(self, tag: str = "final") -> list[Path]:
        return sorted((self.served / "earlier_labels" / tag).glob("*"))


def state_of(*folders: Path) -> dict[str, str]:
    """What is in folders, by path: the hash of each file."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def nifti(values: np.ndarray, affine: np.ndarray) -> bytes:
    return nib.Nifti1Image(values, affine).to_bytes()


def _make_studies(folder: Path) -> Path:
    """Two heads with a lesion, 3 x 3 x 6 mm, one stored with its axes towards superior, right and posterior."""
    image, _ = simulate_head(5, lesion=True)
    stored = nib.Nifti1Image(image, AFFINE).as_reoriented([[1, -1], [2, 1], [0, 1]])
    save(np.asarray(stored.dataobj), folder / "flipped.nii.gz", stored.affine)
    save(simulate_head(7, lesion=True)[0], folder / "other.nii.gz")
    return folder


@contextmanager
def running(base: Path, *options: str, token: str = "", other: str = "") -> Iterator[Server]:
    """A server, until the end of the block; of ``other`` in the place of two heads in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    studies, work = _make_studies(base / "studies"), base / "work"
    work.mkdir()
    source = other or str(studies)
    command = [SERVER_PYTHON, "-W", "ignore", "-m", "bundle.cli", "label", source, "--port", str(port)]
    environment = {**ENVIRONMENT, "ITERMASK2_LABEL_TOKEN": token}
    with (base / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*command, "--work_dir", str(work), *options], stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    server = Server(port, studies, work, {"Authorization": f"Bearer {token}"} if token else {})
    try:
        for _ in range(360):
            try:
                assert server.ask("GET", "/info/").status == 200
                break
            except OSError:
                assert process.poll() is None, (base / "log.txt").read_text()[-3000:]
                time.sleep(0.5)
        else:
            pytest.fail((base / "log.txt").read_text()[-3000:])
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As a radiologist starts it: nothing is asked for."""
    with running(tmp_path_factory.mktemp("label")) as started:
        yield started


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The generic app, with a token, and every group of requests opened."""
    allow = [word for group in GROUPS for word in ("--allow", group)]
    with running(tmp_path_factory.mktemp("open"), *allow, "--generic", token=TOKEN) as started:
        yield started
