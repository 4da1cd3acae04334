"""What the model zoo asks of a bundle: ``ci/verify_bundle.py`` of Project-MONAI/model-zoo in the mode "full".

As there, the bundle lies below ``models`` of another folder, and its root is put on the path. The zoo excludes bundles
from the shape check and from TorchScript where they cannot do it; this one is excluded from none. Its properties are
checked by each test of a workflow (tests/flows.py), the packages that it names by tests/test_workflows.py.
"""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = "models/itermask2"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A folder as the zoo's checkout, with this bundle in it; tests are run from there."""
    (tmp_path / "models").mkdir()
    (tmp_path / BUNDLE).symlink_to(ROOT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(BUNDLE)
    return tmp_path


def test_files_and_sizes():
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md"):
        assert (ROOT / name).is_file()
    # larger files would have to be downloaded, by a file large_files.yml
    assert all(path.stat().st_size <= 25e6 for path in (ROOT / "models").iterdir())


def test_the_version_is_in_its_log_of_changes():
    metadata = json.loads((ROOT / "configs/metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_metadata_follow_the_schema(zoo):
    """The schema lies beside the tests: the release page that it comes from cannot be reached from everywhere."""
    schema = ROOT / "tests" / "recorded" / "meta_schema_20240725.json"
    verify_metadata(meta_file=f"{BUNDLE}/configs/metadata.json", filepath=str(schema))


def test_shapes_and_types_are_those_of_the_metadata(zoo):
    files = {"meta_file": f"{BUNDLE}/configs/metadata.json", "config_file": f"{BUNDLE}/configs/inference.json"}
    verify_net_in_out(net_id="network_def", bundle_root=BUNDLE, **files)


def test_the_model_exports_to_torchscript(zoo):
    files = {"meta_file": f"{BUNDLE}/configs/metadata.json", "config_file": f"{BUNDLE}/configs/inference.json"}
    weights = f"{BUNDLE}/models/model.pt"
    ckpt_export(net_id="network_def", filepath="verify_model.ts", ckpt_file=weights, bundle_root=BUNDLE, **files)
    image = torch.full((1, 1, 32, 32), -3.0)
    image[..., 8:24, 8:24] = torch.randn(16, 16)
    assert torch.jit.load("verify_model.ts")(image).shape == (1, 2, 32, 32)
