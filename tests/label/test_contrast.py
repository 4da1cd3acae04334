"""Scans of another contrast than FLAIR on the real server."""

import json

import nibabel as nib
import numpy as np
import pytest

from bundle.errors import InputError
from bundle.label.launcher import start
from tests.heads import save, simulate_head
from tests.label.conftest import MODEL, nifti, running, state_of


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


def test_contrasts_of_a_datalist_are_put_together_with_its_brain_mask(tmp_path):
    image, _ = simulate_head(5, lesion=True)
    dark = np.where(image > 0, 300 - image, 0).astype(np.int16)
    volumes = {"flair": image, "t1": dark, "brain": (image > 0).astype(np.uint8)}
    paths = {name: save(volume, tmp_path / "a" / f"{name}.nii.gz") for name, volume in volumes.items()}
    entry = {"image": {name: paths[name] for name in ("flair", "t1")}, "brain_mask": paths["brain"], "case": "a"}
    datalist = tmp_path / "scans.json"
    datalist.write_text(json.dumps({"test": [entry]}))
    before = state_of(tmp_path / "a")
    with running(tmp_path, "--config", "contrasts", other=str(datalist)) as server:
        (scan,) = server.served_from(datalist).glob("*.nii.gz")
        name = scan.name.removesuffix(".nii.gz")
        automatic = server.send("POST", f"/infer/{MODEL}?image={name}&output=json", {"params": "{}"})
        assert automatic.status == 200, automatic.body
        assert any("Several contrasts were used together" in warning for warning in automatic.json["warnings"])
        inside = np.argwhere(image > 0)
        voxel = inside[len(inside) // 2].tolist()
        clicks = {"params": json.dumps({"foreground": [voxel], "background": []})}
        clicked = server.send("POST", f"/infer/itermask2_click?image={name}&output=json", clicks)
        assert clicked.status == 200, clicked.body
        assert clicked.json["prompts"]["foreground"] == [voxel]
    assert state_of(tmp_path / "a") == before


def test_the_generic_app_has_flair_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("bundle.label.launcher._check_installed", lambda: None)
    with pytest.raises(InputError, match="--modality: the generic app has FLAIR weights alone"):
        start(str(tmp_path), generic=True, options={"modality": "t1"})
