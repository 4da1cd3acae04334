"""Clicks and scribbles on the real server, sent by the client library of MONAI Label, as 3D Slicer sends them."""

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.label.conftest import MODEL, nifti

CLICK, SCRIBBLES = "itermask2_click", "itermask2_scribbles"


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    """MONAI Label's own client, from the environment of the server."""
    (path,) = Path(".venv-label").glob("lib/python3*/site-packages/monailabel/client/client.py")
    spec = importlib.util.spec_from_file_location("monailabel_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = str(tmp_path_factory.mktemp("client"))
    return module.MONAILabelClient(f"http://127.0.0.1:{server.port}", tmpdir=folder, client_id="slicer-me")


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def infer(client, model, params, image="flipped", **files):
    path, facts = client.infer(model, image, {**params, "result_extension": ".nii.gz"}, **files)
    return voxels(path), facts


@pytest.fixture(scope="module")
def automatic(client):
    return infer(client, MODEL, {})


@pytest.fixture(scope="module")
def normal(automatic):
    """A voxel that is marked, and is said to be normal."""
    marked = np.argwhere(automatic[0] > 0)
    return [int(at) for at in marked[np.abs(marked - marked.mean(axis=0)).sum(axis=1).argmin()]]


def test_the_automatic_task_tells_its_facts(automatic, server):
    mask, facts = automatic
    assert facts["label_names"] == {"lesion": 1} and facts["prompts"]["foreground"] == []
    affine = nib.load(server.studies / "flipped.nii.gz").affine
    assert facts["lesion_ml"] == pytest.approx(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000, abs=1e-3)
    assert facts["components"] >= 1 and isinstance(facts["warnings"], list) and facts["seconds"] >= 0


def test_clicks_are_obeyed_and_undo_is_one_click_less(client, automatic, normal, server):
    before, _ = automatic
    lesion = [int(at) for at in np.argwhere((before == 0) & (voxels(server.studies / "flipped.nii.gz") > 0))[500]]
    one, facts = infer(client, CLICK, {"foreground": [], "background": [normal]})
    assert one[tuple(normal)] == 0 and one.sum() < before.sum() and facts["changed_voxels"] == (one != before).sum()
    two, _ = infer(client, CLICK, {"foreground": [lesion], "background": [normal]})
    assert two[tuple(lesion)] == 1 and two[tuple(normal)] == 0
    assert np.array_equal(infer(client, CLICK, {"foreground": [], "background": [normal]})[0], one)
    assert np.array_equal(infer(client, CLICK, {"foreground": [], "background": []})[0], before)


def test_scribbles_are_those_of_the_label(client, automatic, normal, server, tmp_path):
    scan = nib.load(server.studies / "flipped.nii.gz")
    label = np.where(automatic[0] > 0, 1, 0).astype(np.uint8)  # the mask that the viewer shows
    i, j, k = normal
    label[i, j, k - 1 : k + 2] = 2
    label[0, 0, :4] = 3
    nib.save(nib.Nifti1Image(label, scan.affine), tmp_path / "scribbles.nii.gz")
    info = [{"name": "background_scribbles", "id": 2}, {"name": "foreground_scribbles", "id": 3}]
    found, facts = infer(client, SCRIBBLES, {"label_info": info}, label_in=str(tmp_path / "scribbles.nii.gz"))
    assert not found[i, j, k - 1 : k + 2].any() and found[0, 0, :4].all()
    assert facts["prompts"]["background_scribbles"] == [[[i, j, k - 1], [i, j, k], [i, j, k + 1]]]
    # the other way round
    info = [{"name": "background_scribbles", "id": 3}, {"name": "foreground_scribbles", "id": 2}]
    found, _ = infer(client, SCRIBBLES, {"label_info": info}, label_in=str(tmp_path / "scribbles.nii.gz"))
    assert found[i, j, k - 1 : k + 2].all() and not found[0, 0, :4].any()


def test_two_clients_get_each_their_own_answer(client, automatic, normal):
    asked = [[], [normal]] * 2
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda points: infer(client, CLICK, {"background": points})[0], asked))
    assert np.array_equal(answers[0], automatic[0]) and np.array_equal(answers[2], automatic[0])
    assert np.array_equal(answers[1], answers[3]) and answers[1][tuple(normal)] == 0


@pytest.mark.parametrize(
    ("model", "params", "words"),
    [
        (CLICK, {"foreground": [[999, 0, 0]]}, "999"),
        (CLICK, {"foreground": [[-1, 0, 0]]}, "-1"),
        (CLICK, {"foreground": [[1, 2]]}, "three whole numbers"),
        (CLICK, {"foreground": "x"}, "list"),
        (CLICK, {"foreground": [[1.5, 2, 3]]}, "three whole numbers"),
        (CLICK, {"foreground": [[1, 2, 3]], "background": [[1, 2, 3]]}, "take one away"),
        (SCRIBBLES, {}, "no label"),
        (SCRIBBLES, {"label": "README.md"}, "label"),
        (MODEL, {"foreground": [[1, 2, 3]]}, "takes no clicks"),
    ],
)
def test_wrong_prompts_get_one_sentence(server, model, params, words):
    answer = server.send("POST", f"/infer/{model}?image=flipped&output=image", {"params": json.dumps(params)})
    assert answer.status == 400 and words in answer.sentence, answer.body


def test_wrong_labels_and_json_get_one_sentence(server):
    scan = nib.load(server.studies / "flipped.nii.gz")
    target = f"/infer/{SCRIBBLES}?image=flipped&output=image"
    small = nifti(np.ones((2, 3, 4), np.uint8), scan.affine)
    for content, name, words in ((small, "l.nii", "shape"), (b"no label", "l.nii.gz", "cannot be read")):
        answer = server.send("POST", target, {"params": "{}"}, {"label": (name, content)})
        assert answer.status == 400 and words in answer.sentence and "/tmp" not in answer.sentence
    assert server.send("POST", target, {"params": "[1]"}).status == 400
    assert server.send("POST", target, {"params": "{no"}).status == 400


def test_what_is_saved_is_a_version_with_a_line(client, server, normal, tmp_path):
    mask, _ = infer(client, CLICK, {"background": [normal]})
    scan = nib.load(server.studies / "flipped.nii.gz")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), scan.affine), tmp_path / "label.nii.gz")
    for _ in range(2):
        client.save_label("flipped", str(tmp_path / "label.nii.gz"), tag="audited", params={})
    # another reviewer has asked nothing of this image
    other = type(client)(f"http://127.0.0.1:{server.port}", client_id="slicer-other")
    other.save_label("flipped", str(tmp_path / "label.nii.gz"), tag="of_another", params={})
    lines = [json.loads(line) for line in (server.served / "label_versions.jsonl").read_text().splitlines()]
    first, second = [line for line in lines if line["tag"] == "audited"]
    assert first["image"] == "flipped" and first["who"] and first["when"] < second["when"]
    assert first["prompts"]["background"] == [normal] and first["weights"]["file"] == "model.pt"
    assert first["settings"]["click"] and first["replaces"] == ""
    assert [path.name for path in server.earlier("audited")] == [second["replaces"]]
    assert [line["prompts"] for line in lines if line["tag"] == "of_another"] == [None]


def test_the_next_sample_is_what_is_most_worth_a_look(client, server):
    deadline = time.monotonic() + 240
    sample = client.next_sample("worth_a_look", {})
    while sample["known"] < 2 and time.monotonic() < deadline:
        time.sleep(1)
        sample = client.next_sample("worth_a_look", {})
    assert sample["known"] == 2 and sample["disagreement_ml"] > 0
    other = {"flipped": "other", "other": "flipped"}[sample["id"]]
    scan = nib.load(server.studies / f"{sample['id']}.nii.gz")
    label = nifti(np.zeros(scan.shape, np.uint8), scan.affine)
    assert server.save_label(label, image=sample["id"], name="l.nii").status == 200
    second = client.next_sample("worth_a_look", {})
    assert second["id"] == other and second["disagreement_ml"] <= sample["disagreement_ml"]
