"""Studies on a DICOMweb server, as OHIF has them: MR alone, read alone, under the same gate."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nibabel as nib
import numpy as np
import pytest

from tests.data.test_volumes import write_dicom
from tests.heads import AFFINE, simulate_head
from tests.label.conftest import MODEL, Server, form, running

STUDY = "1.2.826.0.1.3680043.2.1125.1"
SERIES = {"MR": "1.2.826.0.1.3680043.2.1125.2.1", "CT": "1.2.826.0.1.3680043.2.1125.2.9"}


class DicomwebServer(ThreadingHTTPServer):
    """Two series, of which the files of one can be fetched; what it was asked for is kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[tuple[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: DicomwebServer

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _send(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.asked.append(("POST", self.path))
        self._send("application/dicom+json", b"{}")

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path))
        address = urlsplit(self.path)
        if address.path.endswith(SERIES["MR"]):
            parts = [path.read_bytes() for path in sorted(self.server.folder.glob("*.dcm"))]
            body = b"".join(b"--part\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
            self._send('multipart/related; type="application/dicom"; boundary=part', body + b"--part--\r\n")
            return
        wanted = parse_qs(address.query)
        series = [
            {
                "00080060": {"vr": "CS", "Value": [modality]},
                "0020000D": {"vr": "UI", "Value": [STUDY]},
                "0020000E": {"vr": "UI", "Value": [uid]},
            }
            for modality, uid in SERIES.items()
            if modality in wanted.get("Modality", [modality]) and uid in wanted.get("SeriesInstanceUID", [uid])
        ]
        self._send("application/dicom+json", json.dumps(series).encode())


@pytest.fixture(scope="module")
def dicomweb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomwebServer]:
    folder = tmp_path_factory.mktemp("dicom") / "series"
    write_dicom(simulate_head(5, lesion=True)[0], AFFINE, folder)
    with DicomwebServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def label_server(dicomweb: DicomwebServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    address = f"http://127.0.0.1:{dicomweb.server_address[1]}"
    with running(tmp_path_factory.mktemp("dicomweb"), other=address) as server:
        yield server


def test_mr_series_are_listed_and_segmented(label_server):
    assert label_server.ask("GET", "/info/").json["datastore"]["total"] == 1
    body, headers = b"{}", {"Content-Type": "application/json"}
    assert label_server.ask("POST", "/activelearning/first", body, headers).json["id"] == SERIES["MR"]
    target = f"/infer/{MODEL}?image={SERIES['MR']}&output=image"
    answer = label_server.send("POST", target, {"params": '{"result_extension": ".nii", "restore_label_idx": false}'})
    assert answer.status == 200, answer.body
    mask = np.asarray(nib.Nifti1Image.from_bytes(answer.body).dataobj)
    assert mask.shape == (56, 64, 12) and mask.any()
    for other in (SERIES["CT"], "1.2.3"):
        answer = label_server.send("POST", f"/infer/{MODEL}?image={other}", {"params": "{}"})
        assert answer.status == 404 and answer.sentence


def test_a_label_of_a_series_is_checked_and_an_earlier_one_is_kept(label_server):
    shape = (56, 64, 12)
    for value in (1, 2):
        label = np.full(shape, value, np.uint8).tobytes(order="F")
        body, headers = form({"params": "{}"}, {"label": ("label.bin", label)})
        answer = label_server.ask("PUT", f"/datastore/label?image={SERIES['MR']}&tag=original", body, headers)
        assert answer.status == 200, answer.body
    found = sorted(label_server.work.glob(f"dicom/*/*labels/original/{SERIES['MR']}*.nii.gz"))
    assert [path.parts[-3] for path in found] == ["earlier_labels", "labels"]
    assert [int(np.asarray(nib.load(path).dataobj).max()) for path in found] == [1, 2]


def test_the_viewer_reads_through_the_server_and_writes_nothing(label_server, dicomweb):
    dicomweb.asked.clear()
    answer = label_server.ask("GET", "/proxy/dicom/qido/series")
    assert answer.status == 200 and len(answer.json) == 2
    assert dicomweb.asked[0][0] == "GET" and "/series" in dicomweb.asked[0][1]
    dicomweb.asked.clear()
    for method, target, status in [
        ("POST", "/proxy/dicom/stow/studies", 404),
        ("POST", "/proxy/dicom/qido/studies", 405),
        ("GET", "/proxy/dicom/studies", 404),
        ("GET", "/proxy/dicom/wado/..%2f..%2fadmin", 400),
        ("GET", "/proxy/dicom/wado/%252e%252e/admin", 400),
        ("GET", "/proxy/dicom/wado//evil.example/x", 400),
    ]:
        answer = label_server.ask(method, target)
        assert answer.status == status and answer.sentence, (target, answer.status)
    assert not dicomweb.asked
