import numpy as np
import pytest
import torch

from bundle.model.frequency import high_frequency


def test_recorded_run(golden):
    assert torch.allclose(high_frequency(golden["test/image"], 15), golden["test/high_frequency"], atol=1e-4)


@pytest.mark.parametrize("shape", [(33, 48), (32, 47), (12, 17, 20)])
def test_definition_with_the_full_spectrum(shape):
    """METHOD: amplitude one inside the radius around the centre index, phase kept, everything else unchanged."""
    image = np.random.RandomState(0).normal(size=shape)
    spectrum = np.fft.fftshift(np.fft.fftn(image))
    index = np.indices(shape) - np.array([size // 2 for size in shape]).reshape(-1, *[1] * len(shape))
    low = np.sqrt((index**2).sum(axis=0)) < 5
    expected = np.fft.ifftn(np.fft.ifftshift(np.where(low, np.exp(1j * np.angle(spectrum)), spectrum))).real
    result = high_frequency(torch.from_numpy(image)[None, None], 5)[0, 0]
    assert result.dtype == torch.float32
    assert np.allclose(result.numpy(), expected, atol=1e-5)


def test_autocast_and_half_precision_do_not_reach_the_transform():
    image = torch.randn(2, 1, 32, 32)
    expected = high_frequency(image, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(high_frequency(image, 4), expected)
    assert high_frequency(image.bfloat16(), 4).dtype == torch.float32
