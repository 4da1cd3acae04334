"""Scans of another contrast than FLAIR on the real server."""

import json

import nibabel as nib
import numpy as np
import pytest

from bundle.errors import InputError
from bundle.label.launcher import start
from tests.label.conftest import MODEL, nifti, running


def test_the_weights_are_those_of_the_contrast(tmp_path):
    with running(tmp_path, "--modality", "t1") as server:
        target = f"/infer/{MODEL}?image=flipped&output=json"
        answer = server.send("POST", target, {"params": "{}"})
        # these weights take a simulated FLAIR head for full of lesions, where those of FLAIR mark 10 to 30 ml
        assert answer.status == 200 and answer.json["lesion_ml"] > 200
        scan = nib.load(server.studies / "flipped.nii.gz")
        assert server.save_label(nifti(np.zeros(scan.shape, np.uint8), scan.affine)).status == 200
        line = json.loads((server.served / "label_versions.jsonl").read_text().splitlines()[-1])
    assert line["weights"]["file"] == "t1.pt" and line["settings"]["modality"] == "t1"


def test_the_generic_app_has_flair_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("bundle.label.launcher._check_installed", lambda: None)
    with pytest.raises(InputError, match="--modality: the generic app has FLAIR weights alone"):
        start(str(tmp_path), generic=True, options={"modality": "t1"})
