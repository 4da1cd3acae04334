"""The server of the page: what it answers, what it saves, whom it refuses."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from bundle.cases import CaseFolder
from bundle.cli.main import main
from bundle.data import read_volume
from bundle.interaction import Prompts, answer
from bundle.review.reviewable import check_reviewable
from tests.review.serving import TOKEN

POINT = {"kind": "lesion", "shape": "point", "voxels": [[5, 20, 20]]}
NORMAL = {"kind": "normal", "shape": "scribble", "voxels": [[6, 30, 30], [6, 30, 31]]}


def volume(served, name, version, layer):
    reply = served.ask("GET", f"/cases/{name}/versions/{version}/{layer}.nii")
    assert reply.status == 200, reply.body
    return nib.Nifti1Image.from_bytes(reply.body)


def draw(served, name, strokes, after, who="me"):
    return served.ask("POST", f"/cases/{name}/strokes", {"strokes": strokes, "after": after, "who": who})


def decide(served, name, verdict, after, remark=""):
    body = {"verdict": verdict, "remark": remark, "after": after, "who": "me"}
    return served.ask("POST", f"/cases/{name}/verdict", body)


def state_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent.name != "reviews"}


def test_layers_lie_on_the_scan_as_it_is_stored(served):
    name = served.id_of("turned")
    case = served.session.case(name)
    scan = read_volume(case.statistics()["image"])
    facts = served.ask("GET", f"/cases/{name}").json
    assert facts["shape"] == list(scan.shape[1:]) and np.allclose(facts["affine"], scan.affine)
    assert facts["layers"] == ["reconstruction", "score"]
    shown = volume(served, name, 0, "scan")
    assert np.array_equal(shown.get_fdata(), scan[0]) and np.allclose(shown.affine, scan.affine, atol=1e-5)
    for layer in ("mask", "score", "reconstruction"):
        stored = nib.load(case.file(layer))
        got = volume(served, name, 0, layer)
        assert np.array_equal(got.get_fdata(), stored.get_fdata()) and np.allclose(got.affine, stored.affine, atol=1e-5)


def test_a_review_from_the_first_click_to_the_verdict(served):
    name = served.id_of("turned")
    case, before = served.session.case(name), state_of(served.session.output_dir)
    assert served.ask("GET", f"/cases/{name}/note").json == {"note": ""}
    state = served.session.states.begin(name).result()

    first = draw(served, name, [POINT], 0).json
    assert first["version"] == 1 and first["prompts"]["foreground"] == [[5, 20, 20]]
    expected = answer(state, Prompts(foreground=[[5, 20, 20]]))
    assert np.array_equal(volume(served, name, 1, "mask").get_fdata(), expected.mask) and expected.mask[5, 20, 20] == 1
    assert first["lesion_ml"] == expected.statistics["lesion_ml"]
    assert np.allclose(volume(served, name, 1, "score").get_fdata(), expected.score, atol=1e-5)

    second = draw(served, name, [POINT, NORMAL], 1).json
    mask = volume(served, name, 2, "mask").get_fdata()
    assert mask[6, 30, 30] == 0 and mask[5, 20, 20] == 1
    third = draw(served, name, [POINT], 2).json
    assert gzip.decompress((case.path / "reviews" / third["mask"]).read_bytes()) == gzip.decompress(
        (case.path / "reviews" / first["mask"]).read_bytes()
    )
    assert decide(served, name, "accepted", 3).sentence.startswith("verdict: accepted is the automatic mask")
    last = decide(served, name, "corrected", 3, "a  small/one & é").json
    assert (last["version"], last["verdict"], last["remark"]) == (4, "corrected", "a small/one & é")
    row = next(row for row in served.ask("GET", "/cases").json["cases"] if row["id"] == name)
    assert (row["verdict"], row["lesion_ml"]) == ("corrected", first["lesion_ml"])
    # what is drawn after a verdict wants a verdict of its own
    assert draw(served, name, [], 4).json["verdict"] == "open"
    assert np.array_equal(volume(served, name, 5, "mask").get_fdata(), nib.load(case.file("mask")).get_fdata())
    facts = served.ask("GET", f"/cases/{name}").json
    assert [line["version"] for line in facts["versions"]] == [1, 2, 3, 4, 5] and second["who"] == "me"
    assert state_of(served.session.output_dir) == before


def test_a_change_to_an_old_version_is_refused(served):
    name = served.id_of("upright")
    assert decide(served, name, "rejected", 0).status == 200
    reply = decide(served, name, "open", 0)
    assert reply.status == 409 and "reload" in reply.sentence


def test_wrong_requests_get_one_sentence_and_save_nothing(served):
    name = served.id_of("upright")
    outside = {"kind": "lesion", "shape": "point", "voxels": [[500, 0, 0]]}
    for body in (
        {"strokes": [outside], "after": 0, "who": "me"},
        {"strokes": "x", "after": 0, "who": "me"},
        {"strokes": [{**POINT, "voxels": [[1, 2]]}], "after": 0, "who": "me"},
        {"strokes": [{**POINT, "voxels": [["a", 2, 3]]}], "after": 0, "who": "me"},
        {"strokes": [POINT], "after": -1, "who": "me"},
        {"strokes": [POINT], "after": 0},
        {"strokes": [POINT], "after": 0, "who": "x" * 3000},
        [],
        b"{no json",
        b"\xff",
        b"[" * 10**5,
    ):
        reply = served.ask("POST", f"/cases/{name}/strokes", body)
        assert reply.status == 400 and reply.sentence, body
    assert decide(served, name, "perhaps", 0).status == 400
    assert served.ask("POST", f"/cases/{name}/strokes", b"[" + b"1," * 2**22 + b"1]").status == 413
    assert not (CaseFolder(served.session.output_dir / "upright").path / "reviews").exists()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/cases/0123456789ab", 404),
        ("GET", "/cases/../../etc/passwd", 400),
        ("GET", "/cases/%2e%2e", 400),
        ("GET", "/cases/turned", 404),
        ("GET", "/page/server.py", 404),
        ("GET", "/page/nothing.js", 404),
        ("GET", "/page/..%2fserver.py", 400),
        ("GET", "/cases?x=1", 400),
        ("DELETE", "/cases", 405),
        ("GET", "/info/", 404),
    ],
)
def test_nothing_else_is_served(served, method, target, status):
    reply = served.ask(method, target)
    assert reply.status == status and reply.sentence


def test_strangers_are_refused(served):
    name = served.id_of("turned")
    for headers, status in (
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
    ):
        for method, target in (("GET", "/"), ("GET", "/cases"), ("POST", f"/cases/{name}/verdict")):
            reply = served.ask(method, target, {} if method == "POST" else None, headers)
            assert reply.status == status and reply.sentence
    opened = served.ask("GET", f"/?token={TOKEN}", headers={"Authorization": ""})
    assert opened.status == 303 and opened.headers["location"] == "/"
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and f"review_{served.port}" in cookie
    page = served.ask("GET", "/", headers={"Authorization": "", "Cookie": cookie.partition(";")[0]})
    assert page.status == 200 and "default-src 'none'" in page.headers["content-security-policy"]


def test_a_folder_without_results_and_a_taken_port_get_one_sentence(served, tmp_path, capsys):
    folder = tmp_path / "folders"
    for name, content in (("damaged", "{"), ("foreign", "[]")):
        (folder / name / "a").mkdir(parents=True)
        (folder / name / "a" / "a_statistics.json").write_text(content)
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ([str(tmp_path / "missing")], "missing: no such folder"),
        ([str(folder / "damaged" / "a" / "a_statistics.json")], "a_statistics.json: no such folder"),
        ([str(folder / "damaged")], "a_statistics.json: missing or damaged"),
        ([str(folder / "foreign")], "a_statistics.json: it is no result of itermask2 segment"),
        ([str(tmp_path / "empty")], "there is no finished case in it"),
        ([str(served.session.output_dir), "--port", str(served.port)], f"--port {served.port}: it cannot be used"),
        ([str(served.session.output_dir), "--keep", "0"], "--keep"),
    ):
        assert main(["review", *arguments, "--no-browser"]) == 1
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said


def test_a_damaged_case_keeps_nobody_from_the_others(served):
    damaged = served.session.case(served.id_of("turned"))
    damaged.file("mask").unlink()
    assert [row["case"] for row in served.ask("GET", "/cases").json["cases"]] == ["upright"]
    assert check_reviewable(served.session.output_dir) == [
        f"{damaged.file('mask')}: the mask of this case is not there any more; segment the scan again."
    ]
