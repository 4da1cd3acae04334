import pytest
import torch
from monai.data import MetaTensor, decollate_batch

from bundle.errors import InputError
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.inferer import IterativeMaskInferer
from bundle.model.refinement import IterMaskNet
from tests.flows import REFINEMENT

SETTINGS = {"batch_size": 32, "seed": 0, "crop_multiple": None, "cpu_precision": "float32"}


def find(volume, model, **settings) -> dict:
    with torch.no_grad():
        return IterativeMaskInferer(**{**SETTINGS, **settings})(volume, model)


@pytest.fixture
def volume(golden) -> torch.Tensor:
    """The recorded test slices as one volume, 1 x 1 x H x W x 4."""
    image = torch.where(golden["test/brain_mask"], golden["test/image"].clamp(min=-2.999), -3.0)
    return image.permute(1, 2, 3, 0)[None]


@pytest.fixture
def two_volumes(volume) -> torch.Tensor:
    """The recorded slices twice, the second time backwards and of another brightness: 2 x 1 x H x W x 4."""
    other = torch.where(volume > -3, (volume.flip(-1) * 3).clamp(min=-2.999), -3.0)
    return torch.cat([volume, other])


@pytest.fixture
def judged_model(golden_model) -> IterMaskNet:
    torch.manual_seed(0)
    judge = torch.nn.Conv2d(2, 1, 3, padding=1)
    model = IterMaskNet(golden_model.initial, golden_model.refiner, judge=judge, **REFINEMENT)
    model.threshold.copy_(golden_model.threshold)
    model.lesion_threshold.fill_(0.5)
    return model.eval()


def test_volume_is_refined_slice_by_slice(volume, golden_model):
    slices = volume[0].permute(3, 0, 1, 2)
    expected = golden_model.refine(slices, slices > -3, torch.arange(4))
    for batch_size in (1, 3, 32):
        found = find(volume, golden_model, batch_size=batch_size)
        found = {name: part[0, 0] for name, part in found.items() if name != "refinement"}
        assert torch.equal(found["refined_mask"].permute(2, 0, 1) > 0, expected.mask[:, 0])
        assert torch.equal(found["hidden_iterations"].permute(2, 0, 1), expected.hidden_iterations[:, 0].float())
        assert torch.allclose(found["reconstruction"].permute(2, 0, 1), expected.reconstruction[:, 0], atol=1e-4)
        assert torch.allclose(found["initial_error"].permute(2, 0, 1), expected.initial_error[:, 0], atol=1e-4)
        brain = volume[0, 0] > -3
        assert torch.allclose(found["error"], (volume[0, 0] - found["reconstruction"]) ** 2 * brain, atol=1e-5)
        assert "score" not in found


def test_background_can_be_left_out(volume, golden_model):
    """The networks see a window around the brain, with the frequencies of the whole slice."""
    padded = torch.nn.functional.pad(volume, (0, 0, 16, 16, 24, 8), value=-3.0)
    slices = padded[0].permute(3, 0, 1, 2)
    brain = slices > -3
    window = (..., *brain_window(brain, 16))
    found = find(padded, golden_model, crop_multiple=16)
    part = {name: found[name][0].permute(3, 0, 1, 2) for name in found if name != "refinement"}
    with torch.no_grad():
        detail = high_frequency(slices, golden_model.radius)[window]
        expected = golden_model.refine(slices[window], brain[window], torch.arange(4), detail=detail)
    assert expected.mask.shape[2] % 16 == expected.mask.shape[3] % 16 == 0 and expected.mask[0].numel() < 128 * 128
    assert torch.equal(part["refined_mask"][window] > 0, expected.mask)
    assert torch.allclose(part["reconstruction"][window], expected.reconstruction, atol=1e-4)
    outside = torch.ones_like(brain)
    outside[window] = False
    assert (part.pop("reconstruction")[outside] == -3).all() and outside.any()
    assert not any(values[outside].any() for values in part.values())


def test_runs_repeat_and_seeds_matter(volume, golden_model):
    first, again, other = (find(volume, golden_model, seed=seed)["reconstruction"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_meta_data_go_through(volume, golden_model):
    image = MetaTensor(volume, affine=torch.diag(torch.tensor([2.0, 2, 5, 1]))[None])
    result = find(image, golden_model)
    mask = result["refined_mask"]
    assert isinstance(mask, MetaTensor) and torch.equal(mask.affine, image.affine)
    assert result["refinement"]["threshold"].tolist() == [pytest.approx(float(golden_model.threshold))]
    # as MONAI's engines and MONAI Label take a batch apart
    (case,) = decollate_batch(result)
    assert case["refinement"]["threshold"] == pytest.approx(float(golden_model.threshold))
    assert case["refined_mask"].shape == image.shape[1:] and torch.equal(case["refined_mask"].affine, image.affine[0])


def test_a_volume_alone_gives_what_it_gives_beside_another(two_volumes, judged_model):
    """By the inferer, by the exported model and by its TorchScript."""
    together = find(two_volumes, judged_model)
    networks = (judged_model, torch.jit.script(judged_model))
    with torch.no_grad():
        marked = [network(two_volumes) for network in networks]
    assert torch.equal(*marked) and marked[0][:, 1].any()
    for i in range(2):
        one = two_volumes[i : i + 1]
        alone = find(one, judged_model)
        assert all(torch.equal(alone[name][0], together[name][i]) for name in alone if name != "refinement")
        # the inferer folds the networks of the model, and takes TorchScript as it is
        scripted = find(one, networks[1])["score"][0]
        assert torch.allclose(scripted, together["score"][i], atol=1e-4)
        # the exported model marks what its score says
        assert torch.equal(marked[0][i, 1:] > 0, scripted > judged_model.lesion_threshold)
        with torch.no_grad():
            assert all(torch.equal(network(one)[0], marked[0][i]) for network in networks)


def test_an_image_alone_gives_what_it_gives_beside_others(two_volumes, judged_model):
    images = two_volumes[..., 1]
    with torch.no_grad():
        assert all(torch.equal(judged_model(images)[i], judged_model(images[i : i + 1])[0]) for i in range(2))


def test_a_model_without_a_threshold_is_refused(volume, golden_model):
    golden_model.threshold.fill_(float("nan"))
    with pytest.raises(InputError, match="calibrate"):
        find(volume, golden_model)
