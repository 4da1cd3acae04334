"""What a review does, on the real server: it works, labels are checked, and nothing is lost."""

import gzip
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.label.conftest import ENVIRONMENT, MODEL, nifti, state_of


def infer(server, image, /, output="image", **parameters):
    return server.send("POST", f"/infer/{MODEL}?image={image}&output={output}", {"params": json.dumps(parameters)})


def grid(server, name="flipped"):
    scan = nib.load(server.studies / f"{name}.nii.gz")
    return scan.shape, scan.affine


@pytest.fixture(scope="module")
def masks(server):
    """What the server answers for each scan, asked for one after the other."""
    return {name: infer(server, name).body for name in ("flipped", "other")}


def test_the_generic_app_lists_one_model(open_server):
    info = open_server.ask("GET", "/info/").json
    assert list(info["models"]) == [MODEL]
    model = info["models"][MODEL]
    assert model["type"] == "segmentation" and model["dimension"] == 3
    assert model["labels"] == {"lesion": 1}
    assert model["config"]["model_filename"] == ["model.pt"]


def test_viewers_list_a_task_of_each_kind(server):
    info = server.ask("GET", "/info/").json
    kinds = {name: model["type"] for name, model in info["models"].items()}
    assert kinds == {MODEL: "segmentation", "itermask2_click": "deepgrow", "itermask2_scribbles": "scribbles"}
    assert all(model["dimension"] == 3 and model["labels"] == {"lesion": 1} for model in info["models"].values())
    assert next(iter(info["strategies"])) == "worth_a_look"
    assert info["datastore"]["total"] == 2
    (line,) = re.findall("^# no-deps: .*$", Path("requirements-label.txt").read_text(), re.MULTILINE)
    assert f"monailabel=={info['version']} " in line


def test_mask_over_rest_is_the_mask_of_the_command(server, masks, tmp_path):
    (tmp_path / "answer.nii.gz").write_bytes(masks["flipped"])
    answer = nib.load(tmp_path / "answer.nii.gz")
    scan = server.studies / "flipped.nii.gz"

    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    options = ["--image", str(scan), "--output_dir", str(tmp_path / "out")]
    done = subprocess.run([*command, *options], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = nib.load(tmp_path / "out" / "flipped" / "flipped_mask.nii.gz")

    assert answer.shape == written.shape == nib.load(scan).shape
    assert np.allclose(answer.affine, written.affine)
    mask = np.asarray(written.dataobj)
    assert mask.any() and not np.array_equal(mask, mask[::-1])
    assert np.array_equal(np.asarray(answer.dataobj), mask)


def test_the_generic_app_gives_the_same_mask(open_server, masks):
    assert gunzip(infer(open_server, "flipped").body) == gunzip(masks["flipped"])


def test_two_clients_at_once_get_each_their_own_mask(server, masks):
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda name: (name, infer(server, name)), ["flipped", "other"] * 2))
    for name, answer in answers:
        assert answer.status == 200
        assert gunzip(answer.body) == gunzip(masks[name]), name
    assert gunzip(masks["flipped"]) != gunzip(masks["other"])


def gunzip(body):
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(body)).dataobj).tobytes()


def test_next_sample_and_download(server):
    sample = server.ask("POST", "/activelearning/first", b"{}", {"Content-Type": "application/json"}).json
    assert sample["id"] in ("flipped", "other")
    image = server.ask("GET", f"/datastore/image?image={sample['id']}")
    assert image.body == (server.studies / f"{sample['id']}.nii.gz").read_bytes()


def test_a_label_is_stored_and_an_earlier_one_is_kept(server):
    shape, affine = grid(server)
    originals = state_of(server.studies)
    for value in (1, 2, 3):
        answer = server.save_label(nifti(np.full(shape, value, np.uint8), affine), tag="version", name="l.nii")
        assert answer.status == 200 and answer.json["label"] == "flipped"
    (stored,) = server.labels("version")
    assert np.all(np.asarray(nib.load(stored).dataobj) == 3)
    kept = [int(np.asarray(nib.load(path).dataobj).max()) for path in server.earlier("version")]
    assert kept == [1, 2]
    assert state_of(server.studies) == originals


def test_two_clients_who_save_at_once_lose_no_label(server):
    shape, affine = grid(server)
    values = list(range(1, 9))
    labels = [nifti(np.full(shape, value, np.uint8), affine) for value in values]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda label: server.save_label(label, tag="both", name="l.nii"), labels))
    assert [answer.status for answer in answers] == [200] * 8
    files = [*server.labels("both"), *server.earlier("both")]
    assert sorted(int(np.asarray(nib.load(path).dataobj).max()) for path in files) == values


def test_the_file_name_that_slicer_sends_is_taken(server):
    shape, affine = grid(server)
    label = nifti(np.ones(shape, np.uint8), affine)
    for name in ("/tmp/Slicer-me/abc.nii", r"C:\\Users\\me\\abc.nii"):
        assert server.save_label(label, tag="slicer", name=name).status == 200
    assert [path.name for path in server.labels("slicer")] == ["flipped.nii.gz"]


def test_a_label_of_ohif_is_its_voxels_alone(server):
    shape, affine = grid(server)
    values = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(np.uint8)
    answer = server.save_label(values.tobytes(order="F"), tag="ohif", name="label.bin")
    assert answer.status == 200
    stored = nib.load(server.labels("ohif")[0])
    assert np.array_equal(np.asarray(stored.dataobj), values) and np.allclose(stored.affine, affine)
    assert "one byte per voxel" in server.save_label(b"123", tag="ohif", name="label.bin").sentence


def test_labels_that_do_not_fit_are_refused_and_change_nothing(server):
    shape, affine = grid(server)
    good = nifti(np.ones(shape, np.uint8), affine)
    assert server.save_label(good, tag="checked", name="l.nii").status == 200
    before = state_of(server.served)
    moved = affine.copy()
    moved[0, 3] += 20
    bad = {
        "cannot be read": (b"no image at all", "l.nii.gz"),
        "ends in": (good, "l.txt"),
        "shape": (nifti(np.ones((4, 5, 6), np.uint8), affine), "l.nii"),
        "elsewhere in space": (nifti(np.ones(shape, np.uint8), moved), "l.nii"),
        "whole numbers": (nifti(np.full(shape, 0.5, np.float32), affine), "l.nii"),
    }
    for words, (content, name) in bad.items():
        answer = server.save_label(content, tag="checked", name=name)
        assert answer.status == 400 and words in answer.sentence, answer.body
        assert str(server.work) not in answer.sentence
    half = server.save_label(good[: len(good) // 2], tag="checked", name="l.nii")
    assert half.status == 400 and half.sentence
    assert state_of(server.served) == before
