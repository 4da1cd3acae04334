# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Structural similarity on healthy brain."""

from __future__ import annotations

import torch
from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor


def healthy_ssim(image: Tensor, reconstruction: Tensor, healthy: Tensor) -> Tensor:
    """Structural similarity of images and their reconstructions on healthy brain (paper section 3.1).

    An 11 x 11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03; the data range of each image is that of its
    reconstruction within the healthy brain. Everything else is zero in both.

    Args:
        image: B x 1 x H x W, each size at least 11.
        reconstruction: the shape of ``image``.
        healthy: bool, the shape of ``image``: brain without lesion.

    Returns:
        Tensor: one value an image, shape B; NaN where there is no healthy brain.
    """
    reconstruction = torch.where(healthy, reconstruction, 0.0)
    image = torch.where(healthy, image, 0.0)
    low = torch.where(healthy, reconstruction, torch.inf).flatten(1).amin(dim=1)
    high = torch.where(healthy, reconstruction, -torch.inf).flatten(1).amax(dim=1)
    ssim, _ = compute_ssim_and_cs(
        reconstruction,
        image,
        spatial_dims=2,
        kernel_size=(11, 11),
        kernel_sigma=(1.5, 1.5),
        data_range=(high - low).reshape(-1, 1, 1, 1),  # type: ignore[arg-type]  # one for each image
    )
    return ssim.flatten(1).mean(dim=1)
