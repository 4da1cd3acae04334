import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import InputError
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.inferer import IterativeMaskInferer


@pytest.fixture
def volume(golden) -> torch.Tensor:
    """The recorded test slices as one volume, 1 x 1 x H x W x 4."""
    image = torch.where(golden["test/brain_mask"], golden["test/image"].clamp(min=-2.999), -3.0)
    return image.permute(1, 2, 3, 0)[None]


def test_volume_is_refined_slice_by_slice(volume, golden_model):
    slices = volume[0].permute(3, 0, 1, 2)
    expected = golden_model.refine(slices, slices > -3, torch.arange(4))
    for batch_size in (1, 3, 32):
        with torch.no_grad():
            mask, error, reconstruction, hidden, first = IterativeMaskInferer(batch_size)(volume, golden_model)[0]
        assert torch.equal(mask.permute(2, 0, 1) > 0, expected.mask[:, 0])
        assert torch.equal(hidden.permute(2, 0, 1), expected.hidden_iterations[:, 0].float())
        assert torch.allclose(reconstruction.permute(2, 0, 1), expected.reconstruction[:, 0], atol=1e-4)
        assert torch.allclose(first.permute(2, 0, 1), expected.initial_error[:, 0], atol=1e-4)
        brain = volume[0, 0] > -3
        assert torch.allclose(error, (volume[0, 0] - reconstruction) ** 2 * brain, atol=1e-5)


def test_background_can_be_left_out(volume, golden_model):
    """The networks see a window around the brain, with the frequencies of the whole slice."""
    padded = torch.nn.functional.pad(volume, (0, 0, 16, 16, 24, 8), value=-3.0)
    slices = padded[0].permute(3, 0, 1, 2)
    brain = slices > -3
    window = (..., *brain_window(brain, 16))
    with torch.no_grad():
        part = IterativeMaskInferer(crop_multiple=16)(padded, golden_model)[0].permute(3, 0, 1, 2)
        detail = high_frequency(slices, golden_model.radius)[window]
        expected = golden_model.refine(slices[window], brain[window], torch.arange(4), detail=detail)
    assert expected.mask.shape[2] % 16 == expected.mask.shape[3] % 16 == 0 and expected.mask[0].numel() < 128 * 128
    assert torch.equal(part[window][:, :1] > 0, expected.mask)
    assert torch.allclose(part[window][:, 2:3], expected.reconstruction, atol=1e-4)
    part[window] = 0
    outside = part.permute(1, 0, 2, 3)
    assert not outside[[0, 1, 3, 4]].any() and (outside[2] <= 0).all() and (outside[2] == -3).any()


def test_runs_repeat_and_seeds_matter(volume, golden_model):
    with torch.no_grad():
        first, again, other = (IterativeMaskInferer(seed=seed)(volume, golden_model) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first[:, 2], other[:, 2])


def test_meta_data_go_through(volume, golden_model):
    image = MetaTensor(volume, affine=torch.diag(torch.tensor([2.0, 2, 5, 1]))[None])
    with torch.no_grad():
        result = IterativeMaskInferer()(image, golden_model)
    assert isinstance(result, MetaTensor) and torch.equal(result.affine, image.affine)
    assert result.meta["threshold"] == [pytest.approx(float(golden_model.threshold))]
    assert "threshold" not in image.meta


def test_a_model_without_a_threshold_is_refused(volume, golden_model):
    golden_model.threshold.fill_(float("nan"))
    with pytest.raises(InputError, match="calibrate"):
        IterativeMaskInferer()(volume, golden_model)
