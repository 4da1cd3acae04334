"""What an attacker tries on the real server. Nothing is let in, and nothing of the user changes."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import numpy as np
import pytest

from tests.label.conftest import MODEL, TOKEN, Server, form, nifti, state_of
from tests.label.test_review import grid, infer

# what leads from the folder of labels to a file outside, in the encodings that servers have been fooled by
OUTSIDE = [
    "../../x",
    "..%2f..%2fx",
    "%2e%2e/%2e%2e/x",
    "%2e%2e%2f%2e%2e%2fx",
    "%252e%252e%252f%252e%252e%252fx",
    "..%5c..%5cx",
    "..%c0%afx",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "C:%5cx",
    "flipped%00",
    "..",
    "%2e%2e",
]


@pytest.fixture(autouse=True)
def nothing_changes(server: Server, in_bundle_root: None):
    """Each attack leaves the scans, their folder, the bundle, the copies and the labels as they were."""
    from tests.conftest import ROOT

    # the log of the server may grow
    def state():
        found = state_of(server.studies.parent, ROOT / "configs", ROOT / "models")
        return {path: mark for path, mark in found.items() if not path.endswith((".log", "log.txt"))}

    before = state()
    yield
    assert state() == before


@pytest.fixture(scope="module")
def label(server: Server) -> bytes:
    shape, affine = grid(server)
    return nifti(np.ones(shape, np.uint8), affine)


# requests that changed or gave away something when another site sent them
REQUESTS = [
    ("DELETE", "/datastore/?id=flipped"),
    ("DELETE", "/datastore/image?id=flipped"),
    ("PUT", "/datastore/label?image=flipped&tag=final"),
    ("PUT", "/datastore/?image=flipped"),
    ("POST", f"/infer/{MODEL}?image=flipped"),
    ("POST", "/activelearning/random"),
    ("GET", "/info/"),
    ("GET", "/datastore/?output=all"),
    ("GET", "/datastore/image?image=flipped"),
    ("OPTIONS", "/datastore/image?id=flipped"),
]


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_a_page_of_another_site_is_not_answered(server, method, target):
    own = f"http://127.0.0.1:{server.port}"
    strangers = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://evil.example:{server.port}"},
        {"Origin": f"https://127.0.0.1:{server.port}"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": f"{own}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": f"evil.example:{server.port}"},
        {"Host": f"127.0.0.1.evil.example:{server.port}", "Origin": f"http://127.0.0.1.evil.example:{server.port}"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
    ]
    for headers in strangers:
        preflight = {"Access-Control-Request-Method": "DELETE"} if method == "OPTIONS" else {}
        answer = server.ask(method, target, headers={**headers, **preflight})
        # a header that is no header is answered by the web server itself
        assert answer.status == 403 or (answer.status == 400 and not headers.get("Host", "x")), (headers, answer.status)
        assert not any(name.startswith("access-control") for name in answer.headers), answer.headers
        if answer.status == 403:
            assert answer.sentence


def test_its_own_pages_are_answered(server):
    for host in ("127.0.0.1", "localhost"):
        headers = {"Host": f"{host}:{server.port}", "Origin": f"http://{host}:{server.port}"}
        answer = server.ask("GET", "/info/", headers={**headers, "Sec-Fetch-Site": "same-origin"})
        assert answer.status == 200
        assert answer.headers.get("access-control-allow-origin", headers["Origin"]) == headers["Origin"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert server.ask("GET", "/ohif/").status == 200


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/datastore/label?image={}"),
        ("PUT", "/datastore/label?image=flipped&tag={}"),
        ("PUT", "/datastore/label?image=flipped&image={}"),
        ("GET", "/datastore/image?image={}"),
        ("HEAD", "/datastore/image?image={}"),
        ("GET", "/datastore/image/info?image={}"),
        ("GET", "/datastore/label?label={}&tag=final"),
        ("GET", "/datastore/label?label=flipped&tag={}"),
        ("GET", "/datastore/label/info?label=flipped&tag={}"),
        ("POST", f"/infer/{MODEL}?image={{}}"),
        ("POST", f"/infer/{MODEL}?session_id={{}}"),
        ("POST", "/infer/{}?image=flipped"),
        ("POST", "/activelearning/{}"),
        ("GET", "/model/info/{}"),
        ("GET", "/ohif/{}"),
        ("GET", "/static/{}"),
        ("GET", "/session/{}"),
        ("DELETE", "/session/{}"),
        ("DELETE", "/model/{}"),
        ("PUT", "/datastore/?image={}"),
        ("DELETE", "/datastore/image?id={}"),
    ],
)
def test_names_that_lead_outside(server, label, method, target, name):
    if method == "HEAD":
        assert 400 <= server.ask(method, target.format(name)).status < 500
        return
    files = {"label": ("l.nii", label)} if "label?image" in target else None
    answer = server.send(method, target.format(name), {"params": "{}"}, files)
    assert 400 <= answer.status < 500 and answer.sentence, (answer.status, answer.body[:300])
    assert b"root:" not in answer.body


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_in_forms_and_json(server, label, name):
    for file_name in (name, f"{name}/l.nii", f"l{name}.nii.gz"):
        if ".." in file_name or "%2e" in file_name or "%00" in file_name:
            answer = server.save_label(label, name=file_name)
            assert answer.status == 400 and answer.sentence, (file_name, answer.body)
    for params in ({"label_tag": name}, {"a": [{"b": name}]}, {name: 1}, [name]):
        answer = server.send(
            "PUT", "/datastore/label?image=flipped", {"params": json.dumps(params)}, {"label": ("l.nii", label)}
        )
        assert answer.status == 400 and answer.sentence, (params, answer.body)
    body = json.dumps({"strategy": name}).encode()
    answer = server.ask("POST", "/activelearning/first", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.sentence
    # a page can send JSON as text without asking first
    answer = server.ask("POST", "/activelearning/first", body, {"Content-Type": "text/plain"})
    assert answer.status == 400 and answer.sentence
    answer = server.ask(
        "POST",
        f"/infer/{MODEL}?image=flipped",
        f"params={quote(json.dumps({'model_filename': name}))}".encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 400 and answer.sentence


@pytest.mark.parametrize(
    "params",
    [
        {"image": "flipped"},
        {"image": "/etc/hostname"},
        {"model": "other"},
        {"session": {}},
        {"save_label": True, "label_tag": "final"},
        {"image_path": "x"},
        {"brain_mask": "x"},
        {"network": "x"},
        {"result_write_to_file": False},
        {"result_extension": "/../../x"},
        {"model_filename": "../../../x.pt"},
    ],
)
def test_run_cannot_be_turned_to_other_files(server, params):
    answer = infer(server, "flipped", **params)
    assert answer.status == 400 and answer.sentence


def test_files_of_the_machine_are_no_images(server):
    # it lies in the folder that the server was started in, where MONAI Label would find it
    for image in ("README.md", "LICENSE", "bundle", ""):
        answer = infer(server, image)
        assert answer.status in (404, 500) and answer.sentence, (image, answer.body)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("DELETE", "/datastore/?id=flipped"),
        ("DELETE", "/datastore/image?id=flipped"),
        ("PUT", "/datastore/?image=flipped"),
        ("PUT", "/datastore/image?image=flipped"),
        ("PUT", "/datastore/image/info?image=flipped"),
        ("PUT", "/datastore/label/info?label=flipped&tag=final"),
        ("PUT", "/datastore/updatelabelinfo?label=flipped&tag=final"),
        ("DELETE", "/datastore/label?id=flipped&tag=final"),
        ("GET", "/datastore/dataset"),
        ("GET", f"/model/{MODEL}"),
        ("PUT", f"/model/{MODEL}"),
        ("DELETE", f"/model/{MODEL}"),
        ("PUT", "/session/"),
        ("GET", "/session/abc"),
        ("DELETE", "/session/abc"),
        ("POST", "/train/"),
        ("POST", f"/train/{MODEL}"),
        ("DELETE", "/train/"),
        ("GET", "/logs/"),
        ("GET", "/logs/gpu"),
    ],
)
def test_what_a_review_does_not_need_is_closed(server, label, method, target):
    body, headers = form({"params": "{}", "info": "{}"}, {"file": ("flipped.nii.gz", label)})
    answer = server.ask(method, target, body, headers)
    assert answer.status == 403 and "--allow" in answer.sentence


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", f"/batch/infer/{MODEL}", 404),
        ("DELETE", "/batch/infer", 405),
        ("POST", "/scoring/", 405),
        ("POST", f"/infer/wsi/{MODEL}?image=flipped", 404),
        ("POST", f"/infer/wsi_v2/{MODEL}?image=flipped", 404),
        ("POST", "/reload", 404),
        ("GET", "/proxy/dicom/wado/studies", 404),
        ("POST", "/proxy/dicom/stow/studies", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/auth/", 404),
        ("POST", "/info/", 405),
        ("TRACE", "/info/", 405),
        ("GET", "//etc/passwd", 400),
        ("GET", "/ohif//etc/passwd", 400),
        ("GET", "/static/../app.py", 400),
        ("GET", "/nothing", 404),
    ],
)
def test_what_is_never_served(server, method, target, status):
    answer = server.ask(method, target)
    assert answer.status == status and answer.sentence, (answer.status, answer.body)


def test_no_config_can_be_replaced(server, label):
    """A label whose name and tag point into the served bundle; its expressions would run at the next use."""
    for tag in ("../../monaibundle/model/itermask2_segmentation/configs", "..", "%2e%2e", "."):
        for name in ("inference.json", "../inference.json"):
            answer = server.send(
                "PUT", f"/datastore/label?image=flipped&tag={tag}", {"params": "{}"}, {"label": (name, b"{}")}
            )
            assert answer.status == 400 and answer.sentence


def test_errors_are_one_sentence(server, label):
    body, headers = form({"params": "{no json"}, {"label": ("l.nii", label)})
    for answer, status in [
        (server.ask("PUT", "/datastore/label?image=flipped", body, headers), 400),
        (server.ask("PUT", "/datastore/label?image=flipped"), 422),
        (server.ask("PUT", "/datastore/label", *form({}, {"label": ("l.nii", label)})), 422),
        (server.ask("PUT", "/datastore/label?image=flipped", b"garbage", {"Content-Type": "multipart/form-data"}), 400),
        (
            server.ask(
                "PUT", "/datastore/label?image=flipped", b"x", {"Content-Type": "multipart/form-data; boundary=a"}
            ),
            400,
        ),
        (server.save_label(label, image="nobody"), 404),
        (server.ask("GET", "/datastore/image?image=nobody"), 404),
        (server.ask("GET", "/datastore/label?label=nobody&tag=final"), 404),
        (server.ask("GET", "/datastore/?output=everything"), 422),
        (server.ask("POST", "/activelearning/first", b"[" * 10**5, {"Content-Type": "application/json"}), 400),
        (server.ask("POST", "/activelearning/nobody", b"{}", {"Content-Type": "application/json"}), 400),
        (infer(server, "nobody"), 404),
        (server.send("POST", "/infer/nobody?image=flipped", {"params": "{}"}), 404),
        (infer(server, "flipped", output="everything"), 422),
        (server.ask("GET", "/model/info/nobody"), 404),
        (server.ask("GET", "/train/"), 404),
        (server.ask("POST", "/activelearning/first", b"\xff\xfe", {"Content-Type": "application/json"}), 400),
    ]:
        assert answer.status == status and answer.sentence, (answer.status, answer.body)
    assert server.ask("GET", "/info/").status == 200


def test_a_run_that_fails_is_one_sentence(server):
    answer = infer(server, "flipped", result_dtype="no dtype")
    assert answer.status == 500 and answer.sentence


# ------------------------------------------------------------------ with everything opened, and a token


def test_without_the_token_nothing(open_server):
    bare = Server(open_server.port, open_server.studies, open_server.work, {})
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Cookie": "itermask2_label_token=x"},
    ):
        for method, target in (*REQUESTS, ("GET", "/ohif/"), ("GET", "/token/wrong/info/"), ("GET", "/?token=wrong")):
            if method != "OPTIONS":
                answer = bare.ask(method, target, headers=headers)
                assert answer.status == 401 and answer.sentence
    assert bare.ask("GET", f"/token/{TOKEN}/info/").status == 200
    assert bare.ask("GET", f"/token/{TOKEN}/../../etc/passwd").status == 400
    opened = bare.ask("GET", f"/?token={TOKEN}")
    cookie = opened.headers["set-cookie"]
    assert opened.status == 303 and opened.headers["location"] == "/ohif/"
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert bare.ask("GET", "/info/", headers={"Cookie": cookie.partition(";")[0]}).status == 200
    # a token does not make a stranger of a page a friend
    assert open_server.ask("GET", "/info/", headers={"Origin": "http://evil.example"}).status == 403


def test_an_image_that_was_sent_is_there_at_once(open_server):
    """The server looks through its folder whenever a file changes, in a thread of its own."""
    shape, affine = grid(open_server, "other")
    changes, done = open_server.served / "changing.nii", threading.Event()

    def change():
        while not done.is_set():
            changes.write_bytes(b"x")
            changes.unlink()

    with ThreadPoolExecutor(1) as elsewhere:
        changing = elsewhere.submit(change)
        try:
            for value in range(30):
                sent = {"file": ("sent.nii", nifti(np.full(shape, value, np.int16), affine))}
                answer = open_server.send("PUT", "/datastore/image?image=sent", {"params": "{}"}, sent)
                assert answer.status == 200, answer.body
                answer = open_server.ask("GET", "/datastore/image?image=sent")
                assert answer.status == 200 and answer.body == sent["file"][1], (value, answer.body[:300])
        finally:
            done.set()
        changing.result()
    assert open_server.ask("DELETE", "/datastore/image?id=sent").status == 200


def test_originals_outlive_what_is_asked_for(open_server):
    """Overwriting and deleting, where it was asked for, reaches the copies alone."""
    from tests.conftest import ROOT

    shape, affine = grid(open_server, "other")
    originals = state_of(open_server.studies, ROOT / "configs", ROOT / "models")
    new = nifti(np.ones(shape, np.int16), affine)
    answer = open_server.send(
        "PUT", "/datastore/image?image=other", {"params": "{}"}, {"file": ("other.nii", b"no image")}
    )
    assert answer.status == 400 and "cannot be read" in answer.sentence
    answer = open_server.send("PUT", "/datastore/image?image=other", {"params": "{}"}, {"file": ("other.nii", new)})
    assert answer.status == 200
    assert open_server.ask("GET", "/datastore/image?image=other").body == new
    assert open_server.save_label(nifti(np.ones(shape, np.uint8), affine), image="other", name="l.nii").status == 200
    assert open_server.ask("DELETE", "/datastore/label?id=other&tag=final").status == 200
    assert not open_server.labels() and len(open_server.earlier()) == 1
    assert open_server.ask("DELETE", "/datastore/image?id=other").status == 200
    served = open_server.work / "monaibundle" / "model" / MODEL / "models" / "model.pt"
    weights = (ROOT / "models" / "model.pt").read_bytes()
    assert served.read_bytes() == weights
    assert open_server.send("PUT", f"/model/{MODEL}", {}, {"file": ("model.pt", b"not weights")}).status == 200
    assert served.read_bytes() == b"not weights"
    assert open_server.ask("DELETE", f"/model/{MODEL}").status == 200
    assert not served.exists()
    assert open_server.send("PUT", f"/model/{MODEL}", {}, {"file": ("model.pt", weights)}).status == 200
    assert state_of(open_server.studies, ROOT / "configs", ROOT / "models") == originals


def test_sessions_stay_in_their_folder(open_server):
    scan = (open_server.studies / "flipped.nii.gz").read_bytes()
    for name in ("../x.nii.gz", "%2e%2e%2fx.nii.gz", "a/../../x.nii.gz"):
        answer = open_server.send("PUT", "/session/", {}, {"files": (name, scan)})
        assert answer.status == 400 and answer.sentence
    answer = open_server.send("PUT", "/session/?uncompress=true", {}, {"files": ("x.tar", scan)})
    assert answer.status == 400 and "uncompress" in answer.sentence
    session = open_server.send("PUT", "/session/", {}, {"files": ("/tmp/x.nii.gz", scan)}).json
    kept = session["session_info"]["image"]
    assert kept == str(open_server.work / "sessions" / session["session_id"] / "x.nii.gz")
    for name in OUTSIDE:
        for method in ("GET", "DELETE"):
            answer = open_server.ask(method, f"/session/{name}")
            assert 400 <= answer.status < 500 and answer.sentence
    answer = open_server.send(
        "POST", f"/infer/{MODEL}?session_id={session['session_id']}&output=json", {"params": "{}"}
    )
    assert answer.status == 200 and answer.json["label_names"] == {"lesion": 1}
    assert open_server.ask("DELETE", f"/session/{session['session_id']}").status == 200


def test_a_second_server_does_not_share_the_work_folder(open_server, capfd):
    import subprocess

    from tests.label.conftest import SERVER_PYTHON

    command = [
        SERVER_PYTHON,
        "-m",
        "bundle.cli",
        "label",
        str(open_server.studies),
        "--work_dir",
        str(open_server.work),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "a server uses this folder already" in done.stderr
    assert "Traceback" not in done.stderr
