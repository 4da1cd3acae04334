# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""High spatial frequencies: what the networks always see of an image, lesion or not."""

from __future__ import annotations

import torch
from torch import Tensor


def high_frequency(image: Tensor, radius: float) -> Tensor:
    """Replace the amplitude of the low spatial frequencies by one and keep every phase (paper section 2.2).

    Low means less than ``radius`` away from the centre of the spectrum. What remains shows where edges are, but no
    longer the intensities that make a lesion stand out. The spectrum of a real image is symmetric, so half of it,
    which is what a real FFT computes, is enough.

    Args:
        image: real images, shape B x C x H x W or B x C x D x H x W.
        radius: in pixels of the spectrum (one pixel is one period per image width). The paper uses 15 at 128 x 128.

    Returns:
        Tensor: float32, the shape of ``image``.
    """
    sizes = [int(size) for size in image.shape[2:]]
    dims = [int(dim) for dim in range(2, image.ndim)]
    # FFTs know no half precision, so an autocast region must not reach them
    spectrum = torch.fft.rfftn(image.float(), dim=dims)

    squared_distance = torch.zeros([1] * len(sizes), device=image.device)
    for axis, size in enumerate(sizes):
        frequencies = torch.fft.fftfreq(size, 1.0 / size, device=image.device)
        if axis == len(sizes) - 1:
            frequencies = torch.fft.rfftfreq(size, 1.0 / size, device=image.device)
        shape = [1] * len(sizes)
        shape[axis] = -1
        squared_distance = squared_distance + frequencies.reshape(shape) ** 2

    unit_amplitude = torch.polar(torch.ones_like(spectrum.real), spectrum.angle())
    spectrum = torch.where(squared_distance < radius**2, unit_amplitude, spectrum)
    return torch.fft.irfftn(spectrum, s=sizes, dim=dims)
