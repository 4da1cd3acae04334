"""The real MONAI Label server, over REST on loopback, gives the mask that ``monai.bundle run`` writes.

Run by ``make test-label``; the server runs in the environment of requirements-label.txt, this test in the other one.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.heads import AFFINE, save, simulate_head

SERVER_PYTHON = os.environ.get("LABEL_PYTHON", ".venv-label/bin/python")
MODEL = "itermask2_segmentation"
# one thread: sums in another order could move a pixel across the threshold
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with a lesion, 3 x 3 x 6 mm, stored with its axes towards superior, right and posterior."""
    image, _ = simulate_head(5, lesion=True)
    stored = nib.Nifti1Image(image, AFFINE).as_reoriented([[1, -1], [2, 1], [0, 1]])
    folder = tmp_path_factory.mktemp("studies")
    return Path(save(np.asarray(stored.dataobj), folder / "flipped.nii.gz", stored.affine))


@pytest.fixture(scope="module")
def server(scan: Path, tmp_path_factory: pytest.TempPathFactory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = tmp_path_factory.mktemp("work")
    command = [
        SERVER_PYTHON,
        "-m",
        "scripts.start_label",
        str(scan.parent),
        "--port",
        str(port),
        "--work_dir",
        str(work),
    ]
    with (work / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    address = f"http://127.0.0.1:{port}"
    for _ in range(180):
        try:
            urllib.request.urlopen(f"{address}/info/", timeout=5).read()
            break
        except OSError:
            assert process.poll() is None, (work / "log.txt").read_text()[-3000:]
            time.sleep(1)
    yield address
    process.terminate()
    process.wait()


def test_info(server):
    info = json.load(urllib.request.urlopen(f"{server}/info/"))
    model = info["models"][MODEL]
    assert model["type"] == "segmentation" and model["dimension"] == 3
    assert model["labels"] == {"lesion": 1}
    assert info["datastore"]["total"] == 1


def test_mask_over_rest_is_the_mask_of_the_command(server, scan, tmp_path):
    boundary = uuid.uuid4().hex
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{{}}\r\n--{boundary}--\r\n'
    request = urllib.request.Request(
        f"{server}/infer/{MODEL}?image=flipped&output=image",
        data=body.encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    (tmp_path / "answer.nii.gz").write_bytes(urllib.request.urlopen(request, timeout=600).read())
    answer = nib.load(tmp_path / "answer.nii.gz")

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
