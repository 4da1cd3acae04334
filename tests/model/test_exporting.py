import json

import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.model.exporting import export_onnx
from tests.flows import SMALL


@pytest.fixture
def small(tmp_path):
    """Configs of small networks with a judge, and weights that are none of those that they begin with."""
    (tmp_path / "small.json").write_text(json.dumps({k: v for k, v in SMALL.items() if "#" not in k}))
    configs = ["configs/inference.json", str(tmp_path / "small.json")]
    parser = ConfigParser()
    parser.read_config(configs)
    model = parser.get_parsed_content("network_def").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    return configs, model


def test_onnx_runtime_gives_what_the_networks_give(small, tmp_path):
    _, model = small
    said = export_onnx(model, str(tmp_path / "onnx"), limit=1e-4)
    assert said.count("ONNX Runtime differs by") == 3
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"initial.onnx", "refiner.onnx", "judge.onnx"}
    x = torch.randn(2, 2, 40, 24)
    for name in ("refiner", "judge"):
        session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / f"{name}.onnx"))
        there = torch.from_numpy(session.run(None, {"image": x.numpy()})[0])
        with torch.no_grad():
            here = getattr(model, name)(x)
        assert there.shape == here.shape and here.std() > 0.01
        assert torch.allclose(there, here, atol=1e-4 * max(1, float(here.abs().max())))


def test_what_differs_is_not_kept(small, tmp_path):
    with pytest.raises(InputError, match=r"initial.onnx: ONNX Runtime gives another result .* it was not kept"):
        export_onnx(small[1], str(tmp_path / "onnx"), limit=-1.0)
    assert not list((tmp_path / "onnx").iterdir())


def test_tensorrt_wraps_the_networks_and_not_the_refinement(small, tmp_path, monkeypatch):
    """TensorRT itself is not here: what the config asks MONAI for."""
    asked = {}
    monkeypatch.setattr("monai.networks.trt_compile", lambda model, path, **options: asked.update(options) or model)
    parser = ConfigParser()
    parser.read_config([*small[0], "configs/inference_trt.json"])
    parser["batch_size"] = 4
    parser["ckpt_path"] = str(tmp_path / "model.pt")
    assert parser.get_parsed_content("network") is parser.get_parsed_content("network_def")
    # the judge looks at slices of several sizes
    assert asked["submodule"] == ["initial", "refiner"]
    assert asked["args"]["dynamic_batchsize"] == [1, 4, 4]
    # one shape of image: TensorRT plans for each
    assert parser.get_parsed_content("search").crop_multiple is None
