# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Random training masks: unions of squares scattered by a random Gaussian over the brain (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def random_pixel(weights: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw one pixel per image, each as likely as its weight, as ``torch.multinomial`` does that waits for the device.

    One random number an image: where it falls in the sum of the weights.

    Args:
        weights: B x P, not negative, positive somewhere in each image.
        generator: of the device of ``weights``; the default generator when None.

    Returns:
        Tensor: int64, shape B, the index of the pixel.
    """
    # in double precision, so that no number falls behind the last weight, nor into a pixel without one
    below = weights.cumsum(dim=1, dtype=torch.float64)
    place = torch.rand(len(weights), 1, generator=generator, device=weights.device, dtype=torch.float64) * below[:, -1:]
    return torch.searchsorted(below, place, right=True)[:, 0]


def _gaussian_over(brain: Tensor, variances: Tensor, units_per_pixel: Tensor, generator: Generator | None) -> Tensor:
    """Density of one random Gaussian an image, centred on a random brain pixel and zero outside the brain (B x P)."""
    batch, axes, device = brain.shape[0], brain.ndim - 2, brain.device
    # lower Cholesky factor of a random correlation matrix; in 2D its only correlation is uniform in (-1, 1)
    factor = torch.zeros(batch, axes, axes, device=device)
    for row in range(axes):
        remaining = torch.ones(batch, device=device)
        for column in range(row):
            partial = (2 * torch.rand(batch, generator=generator, device=device) - 1).clamp(-0.9999, 0.9999)
            factor[:, row, column] = partial * remaining.sqrt()
            remaining = remaining * (1 - partial**2)
        factor[:, row, row] = remaining.sqrt()
    factor = factor * variances.sqrt()[:, :, None]

    inside = brain.flatten(1).float()
    centre = random_pixel(inside, generator)
    grid = torch.stack(
        torch.meshgrid([torch.arange(size, device=device) for size in brain.shape[2:]], indexing="ij")
    ).flatten(1)
    offsets = (grid[None] - grid[:, centre].T[:, :, None]) * units_per_pixel[:, None, None]
    whitened = torch.linalg.solve_triangular(factor, offsets, upper=False)
    return torch.exp(-0.5 * whitened.square().sum(dim=1)) * inside


def training_masks(
    brain_mask: Tensor,
    generator: Generator | None = None,
    *,
    canvas_size: int,
    variance_range: Sequence[float],
    wide_frame: float,
    narrow_frame: float,
    wide_probability: float,
    square_sizes: Sequence[int],
    wide_density: Sequence[int],
    narrow_density: Sequence[int],
    larger_counts: Sequence[Sequence[int]],
) -> Tensor:
    """Draw a random mask for each image, on its device and without a loop over images.

    The authors' distribution: a random Gaussian over the brain says where, its spread says how many of the smallest
    squares. Row and column of a square come from two independent draws of a brain pixel, so only the marginals of the
    density are needed. In 3D squares are cubes, and their numbers grow with the canvas so that the masked share of the
    brain stays comparable.

    Args:
        brain_mask: bool, B x 1 x H x W or B x 1 x D x H x W, at least one brain pixel in each image.
        generator: of the masks' device; the default generator when None.
        canvas_size: pixels along each axis of the canvas on which squares are placed, before the mask is brought to
            the size of ``brain_mask``.
        variance_range: of the Gaussian along each axis, in squared units of the frame.
        wide_frame: units that the canvas spans in the wide frame, where the Gaussian is small beside the brain.
        narrow_frame: the same in the narrow frame, where it is smaller still.
        wide_probability: how often the wide frame is used.
        square_sizes: in canvas pixels, smallest first.
        wide_density: smallest squares for each unit of spread (the geometric mean of the variances), wide frame.
        narrow_density: the same in the narrow frame.
        larger_counts: least and largest number of each of the larger squares.

    Returns:
        Tensor: bool, the shape of ``brain_mask``, True where the image is to be hidden; never outside the brain.
    """
    batch, axes, device = brain_mask.shape[0], brain_mask.ndim - 2, brain_mask.device
    canvas = [canvas_size] * axes

    def uniform(low: Tensor | float, high: Tensor | float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, device=device)

    brain = F.interpolate(brain_mask.float(), size=canvas, mode="nearest-exact") > 0
    wide = torch.rand(batch, generator=generator, device=device) < wide_probability
    variances = uniform(variance_range[0], variance_range[1], batch, axes)
    units_per_pixel = torch.where(wide, wide_frame, narrow_frame) / canvas_size
    density = _gaussian_over(brain, variances, units_per_pixel, generator).reshape(batch, *canvas)
    marginals = [density.sum(dim=[other + 1 for other in range(axes) if other != axis]) for axis in range(axes)]

    spread = variances.log().mean(dim=1).exp()
    fewest = torch.floor(spread * torch.where(wide, wide_density[0], narrow_density[0]))
    most = torch.floor(spread * torch.where(wide, wide_density[1], narrow_density[1]))
    counts = [(fewest, most, int(variance_range[1] * max(*wide_density, *narrow_density)))]
    counts += [(torch.full_like(spread, low), torch.full_like(spread, high), high) for low, high in larger_counts]

    covered = torch.zeros(batch, *canvas, dtype=torch.bool, device=device)
    for size, (low, high, largest) in zip(square_sizes, counts):
        per_slab = (canvas_size // size) ** (axes - 2)
        number = torch.floor(uniform(low, high + 1, batch)).clamp(max=largest) * per_slab
        corner = torch.zeros(batch, largest * per_slab, dtype=torch.long, device=device)
        for marginal in marginals:
            draws = torch.multinomial(marginal, largest * per_slab, replacement=True, generator=generator)
            corner = corner * canvas_size + draws
        wanted = torch.arange(largest * per_slab, device=device) < number[:, None]
        corners = torch.zeros(batch, canvas_size**axes, device=device)
        corners.scatter_add_(1, corner, wanted.float())
        # a pixel is covered where any corner lies in the `size` pixels up to it, along every axis
        hits = corners.reshape(batch, *canvas)
        for axis in range(1, axes + 1):
            total = hits.cumsum(dim=axis)
            before = torch.zeros_like(total)
            before.narrow(axis, size, canvas_size - size).copy_(total.narrow(axis, 0, canvas_size - size))
            hits = total - before
        covered |= hits > 0.5

    mask = F.interpolate(covered[:, None].float(), size=brain_mask.shape[2:], mode="nearest-exact") > 0
    return mask & brain_mask
