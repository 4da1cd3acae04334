# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Many small lesions painted into healthy slices, half of them beside the ventricles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bundle.preprocessing.intensities import BACKGROUND
from bundle.training.smooth_noise import enlarged


def paint_small_lesions(
    image: Tensor,
    brain_mask: Tensor,
    generator: Generator | None = None,
    *,
    probability: float,
    most_lesions: int,
    radius_range: Sequence[float],
    contrast_range: Sequence[float],
    dark_share: float,
    fluid_below: float,
    ventricle_depth: int,
    ventricle_inside: float,
    periventricular_reach: int,
    periventricular_share: float,
    periventricular_weight: float,
    contrast_spread: Sequence[float],
    stretch: float,
    edge_range: Sequence[float],
    roughness: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Paint many small, often faint lesions, half of them beside the ventricles; all of an image at once.

    As white-matter hyperintensities and plaques lie. No part of the published method, and no lesion of a patient is a
    model of it: places come from the slice's own dark fluid, sizes and contrasts from the ranges below. All numbers
    that are asked for stand in configs/train.json under ``small_lesions``; shares and probabilities are 0 to 1.

    Args:
        image: normalised slices, B x 1 x H x W.
        brain_mask: bool, the shape of ``image``, at least one pixel in each image.
        generator: of the device of ``image``; the default generator when None.
        probability: share of the images that get such lesions.
        most_lesions: an image gets between one and so many, few as likely as many on a logarithmic scale.
        radius_range: smallest and largest radius in pixels, log-uniform.
        contrast_range: smallest and largest difference from the tissue, in units of the normalised intensity; an
            image has one typical contrast.
        dark_share: share of the images whose lesions are darker than the tissue.
        fluid_below: a pixel passes for fluid so far below the brain's mean, same units.
        ventricle_depth: fluid is ventricle where a square of so many pixels (odd) around it is in the brain.
        ventricle_inside: at least this share of it.
        periventricular_reach: side in pixels of the square around ventricle pixels that lesions prefer; odd.
        periventricular_share: share of the images whose lesions prefer it.
        periventricular_weight: how much more often than elsewhere they then lie there.
        contrast_spread: smallest and largest contrast of a lesion, as a multiple of the typical one of its image.
        stretch: natural logarithm of the largest stretch of a circle to an ellipse.
        edge_range: narrowest and widest edge in pixels.
        roughness: of the outline: a length in pixels and the change of the radius over it, a share.

    Returns:
        tuple: the images with lesions, and where these are (bool).
    """
    batch, device = image.shape[0], image.device
    height, width = image.shape[2:]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator, device=device)

    inside = brain_mask.float()
    mean = (image * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True)
    fluid = (image < mean - fluid_below) & brain_mask
    deep = F.avg_pool2d(inside, ventricle_depth, stride=1, padding=ventricle_depth // 2) > ventricle_inside
    ventricle = (fluid & deep).float()
    beside = F.max_pool2d(ventricle, periventricular_reach, stride=1, padding=periventricular_reach // 2)
    beside = beside * inside * (1 - fluid.float())
    prefers = (uniform(0, 1, 1, 1, 1) < periventricular_share).float()
    weights = (inside * (1 - fluid.float()) + prefers * periventricular_weight * beside + 1e-6 * inside).flatten(1)

    # exponential race: the k smallest times are k draws without replacement
    times = torch.empty_like(weights).exponential_(generator=generator) / weights.clamp(min=1e-12)
    centres = times.topk(most_lesions, dim=1, largest=False)[1]
    number = torch.exp(uniform(0, math.log(most_lesions + 1), 1)).floor()
    wanted = (torch.arange(most_lesions, device=device) < number) & (uniform(0, 1, 1) < probability)
    low, high = math.log(radius_range[0]), math.log(radius_range[1])
    radius = torch.exp(uniform(low, high, most_lesions))[:, :, None, None]
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=device, dtype=torch.float32)[None]
    # a part of a pixel off the grid, so that the smallest are not all alike
    x = rows - (centres // width + uniform(-0.5, 0.5, most_lesions))[:, :, None, None]
    y = columns - (centres % width + uniform(-0.5, 0.5, most_lesions))[:, :, None, None]
    angle = uniform(0, torch.pi, most_lesions)[:, :, None, None]
    stretched = torch.exp(uniform(-stretch, stretch, most_lesions))[:, :, None, None]
    u = (torch.cos(angle) * x + torch.sin(angle) * y) * stretched
    v = (torch.cos(angle) * y - torch.sin(angle) * x) / stretched
    size = [max(2, int(height / roughness[0])), max(2, int(width / roughness[0]))]
    coarse = torch.randn(batch, 1, *size, generator=generator, device=device)
    rough = enlarged(coarse, (height, width))
    inward = radius * (1 + roughness[1] * rough) - torch.sqrt(u**2 + v**2)
    share = torch.sigmoid(inward / uniform(edge_range[0], edge_range[1], 1, 1, 1)) * wanted[:, :, None, None]
    typical = uniform(contrast_range[0], contrast_range[1], 1) * uniform(
        contrast_spread[0], contrast_spread[1], most_lesions
    )
    sign = torch.where(uniform(0, 1, 1, 1, 1) < dark_share, -1.0, 1.0)
    change = (share * typical[:, :, None, None]).amax(dim=1, keepdim=True) * sign
    share = share.amax(dim=1, keepdim=True) * inside
    painted = (image + change).clamp(min=BACKGROUND + 1e-3)
    return torch.where(brain_mask, painted, image), (share > 0.5) & brain_mask
