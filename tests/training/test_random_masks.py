from functools import partial

import numpy as np
import torch

from bundle.training import random_masks
from bundle.training.random_masks import random_pixel
from tests.limits import of_training

training_masks = partial(random_masks.training_masks, **of_training("training_masks"))


def ellipse(size: int = 240) -> torch.Tensor:
    y, x = torch.meshgrid(*[torch.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    return (((y / 90) ** 2 + (x / 70) ** 2) * (240 / size) ** 2 <= 1)[None, None]


def test_distribution_of_the_authors_program():
    """Masked share of an ellipse brain: mean and percentiles of 1 500 masks of the authors' program (METHOD 4)."""
    brain, generator = ellipse(), torch.Generator().manual_seed(0)
    masks = [training_masks(brain.expand(50, -1, -1, -1), generator) for _ in range(30)]
    share = (torch.cat(masks).flatten(1).sum(dim=1) / brain.sum()).numpy()
    assert abs(share.mean() - 0.162) < 0.01
    measured = np.percentile(share, [10, 25, 50, 75, 90])
    assert np.allclose(measured, [0.032, 0.047, 0.146, 0.251, 0.337], atol=0.02)


def test_masks_are_binary_within_the_brain_seeded_and_different():
    brain = ellipse(128).expand(8, -1, -1, -1)
    masks = training_masks(brain, torch.Generator().manual_seed(3))
    assert masks.dtype == torch.bool and masks.shape == brain.shape
    assert not (masks & ~brain).any()
    assert masks.flatten(1).any(dim=1).all()
    assert torch.equal(masks, training_masks(brain, torch.Generator().manual_seed(3)))
    assert len({m.sum().item() for m in masks}) > 4


def test_three_dimensions():
    brain = torch.zeros(4, 1, 24, 32, 32, dtype=torch.bool)
    brain[:, :, 4:20, 6:26, 6:26] = True
    masks = training_masks(brain, torch.Generator().manual_seed(0), canvas_size=48)
    share = masks.flatten(1).sum(dim=1) / brain.flatten(1).sum(dim=1)
    assert masks.shape == brain.shape and not (masks & ~brain).any()
    assert (share > 0).all() and (share < 0.9).all()


def test_a_pixel_is_as_likely_as_its_weight():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 6.0, 0.0])
    drawn = random_pixel(weights.expand(20_000, -1), torch.Generator().manual_seed(2))
    shares = torch.bincount(drawn, minlength=6) / 20_000
    # three standard deviations of the share of a half are 0.011
    assert torch.allclose(shares, weights / 10, atol=0.011)
    assert (shares[weights == 0] == 0).all()
