"""The command-line tools that have no test of their own with the part of the bundle that they use."""

import subprocess
import sys

import torch


def test_publishing_halves_the_weights_and_nothing_else(trained, tmp_path):
    target = tmp_path / "models" / "model.pt"
    command = [sys.executable, "-m", "scripts.publish_model", str(trained / "model.pt"), "--target", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "parameters" in done.stdout, done.stderr
    before, after = (torch.load(path, weights_only=True) for path in (trained / "model.pt", target))
    assert set(before) == set(after)
    for name, value in after.items():
        exact = name.endswith(("running_mean", "running_var", "num_batches_tracked", "threshold"))
        assert value.dtype == (before[name].dtype if exact else torch.float16)
        assert torch.allclose(value.float(), before[name].float(), rtol=0 if exact else 1e-3, atol=0 if exact else 1e-6)


def test_only_calibrated_models_are_published(trained, tmp_path):
    state = torch.load(trained / "model.pt", weights_only=True)
    torch.save({**state, "threshold": torch.tensor(float("nan"))}, tmp_path / "bare.pt")
    target = tmp_path / "out.pt"
    command = [sys.executable, "-m", "scripts.publish_model", str(tmp_path / "bare.pt"), "--target", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "has no threshold" in done.stderr and not target.exists()
