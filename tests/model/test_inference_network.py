import pytest
import torch
from monai.networks.nets import UNet

from bundle.errors import InputError
from bundle.model.inference_network import InferenceNetwork, cpu_dtype, cpu_has_bfloat16, for_inference
from bundle.model.network import ReconstructionUNet
from tests.networks import small_network


def trained_unet() -> ReconstructionUNet:
    """A small network, whose parameters and statistics are none of those that it begins with."""
    torch.manual_seed(0)
    network = small_network(2, 2, res_blocks=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network.eval()


def test_folded_it_gives_the_same_and_the_network_stays_as_it_is():
    network, x = trained_unet(), torch.randn(3, 2, 16, 24)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    given = x.clone()
    with torch.no_grad():
        before = network(x)
        full, half = (InferenceNetwork(network, dtype)(x) for dtype in (torch.float32, torch.bfloat16))
        assert torch.equal(network(x), before) and torch.equal(x, given)
    assert full.dtype == half.dtype == torch.float32
    assert (full - before).abs().max() < 1e-4 * before.abs().max() and before.std() > 0.05
    assert not torch.equal(half, full) and (half - before).abs().max() < 0.05 * before.abs().max()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_any_other_network_is_run_as_it_is():
    network, x = UNet(2, 2, 1, channels=(4, 8), strides=(2,)).eval(), torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        assert torch.allclose(InferenceNetwork(network, torch.float32)(x), network(x), atol=1e-5)


def test_a_model_shares_its_thresholds(golden_model):
    quick = for_inference(golden_model, torch.float32)
    golden_model.threshold.fill_(0.25)
    assert float(quick.threshold) == 0.25 and quick.judge is None
    assert isinstance(quick.refiner, InferenceNetwork) and not isinstance(golden_model.refiner, InferenceNetwork)


def test_the_number_format():
    assert cpu_dtype("float32") == torch.float32 and cpu_dtype("bfloat16") == torch.bfloat16
    assert (cpu_dtype("auto") == torch.bfloat16) == cpu_has_bfloat16()
    with pytest.raises(InputError, match="half: no such precision; give --cpu_precision as one of auto"):
        cpu_dtype("half")


def test_a_network_is_folded_once_and_again_when_its_weights_change(golden_model):
    x = torch.randn(1, 2, 16, 16)
    first, again = (for_inference(golden_model, torch.float32).refiner for _ in range(2))
    assert first is again and first is not for_inference(golden_model, torch.bfloat16).refiner
    with torch.no_grad():
        golden_model.refiner.out[-1].bias.add_(1.0)
        changed = for_inference(golden_model, torch.float32).refiner
        assert torch.allclose(changed(x), first(x) + 1.0, atol=1e-5)
        golden_model.load_state_dict({name: value.clone() for name, value in golden_model.state_dict().items()})
    assert for_inference(golden_model, torch.float32).refiner is not changed
