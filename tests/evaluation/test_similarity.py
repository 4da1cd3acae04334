import numpy as np
import torch
from skimage.metrics import structural_similarity

from bundle.evaluation import healthy_ssim


def test_ssim_is_that_of_the_field():
    """The same window, constants and data range in scikit-image; its borders are cut as in an unpadded convolution."""
    random = np.random.RandomState(0)
    image = torch.from_numpy(random.normal(size=(2, 1, 40, 48))).float()
    reconstruction = image + 0.3 * torch.from_numpy(random.normal(size=image.shape)).float()
    healthy = torch.ones_like(image, dtype=torch.bool)
    healthy[:, :, :10] = False
    result = healthy_ssim(image, reconstruction, healthy)
    for i in range(2):
        x, y = (np.where(healthy[i, 0], v[i, 0], 0) for v in (image, reconstruction))
        inside = reconstruction[i, 0][healthy[i, 0]]
        _, full = structural_similarity(
            x,
            y,
            data_range=float(inside.max() - inside.min()),
            gaussian_weights=True,
            sigma=1.5,
            truncate=10 / 3,
            use_sample_covariance=False,
            full=True,
        )
        assert abs(full[5:-5, 5:-5].mean() - float(result[i])) < 1e-4


def test_a_perfect_reconstruction_scores_one():
    image = torch.randn(1, 1, 20, 20)
    assert torch.allclose(healthy_ssim(image, image.clone(), image > -9), torch.ones(1))
