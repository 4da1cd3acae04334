# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Synthetic lesions painted into healthy slices, so that the networks learn to leave lesions out, not to copy them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bundle.preprocessing.intensities import BACKGROUND
from bundle.training.random_masks import random_pixel


def paint_lesions(
    image: Tensor,
    brain_mask: Tensor,
    generator: Generator | None = None,
    *,
    probability: float,
    most_lesions: int,
    radius_range: Sequence[float],
    contrast_range: Sequence[float],
    dark_share: float,
    core_share: float,
    core_contrast_range: Sequence[float],
    replace_share: float,
    spare_fluid_share: float,
) -> tuple[Tensor, Tensor]:
    """Paint lesions of random number, size, shape, edge, contrast and texture, without a loop over images.

    No part of the published method. Both networks are then trained to give the image back as it was before. All numbers
    that are asked for stand in configs/train.json under ``synthetic_lesions``; shares and probabilities are 0 to 1.

    Args:
        image: normalised healthy slices, B x 1 x H x W.
        brain_mask: bool, the shape of ``image``, at least one pixel in each image.
        generator: of the device of ``image``; the default generator when None.
        probability: share of the images that get lesions.
        most_lesions: an image gets between one and so many.
        radius_range: smallest and largest radius in pixels. The first lesion of an image has a log-uniform one, the
            others are no larger: often all lesions of an image are small.
        contrast_range: smallest and largest difference from the tissue around, in units of the normalised intensity.
        dark_share: share of lesions that are darker than the tissue.
        core_share: share of lesions with a core (solid tumour, necrosis or a cyst) within a rim.
        core_contrast_range: the same difference for cores.
        replace_share: share of lesions that replace the tissue below, whose structure then shows no more.
        spare_fluid_share: share of lesions that spare dark places such as sulci and ventricles.

    Returns:
        tuple: the images with lesions, and where these are (bool).
    """
    batch, device = image.shape[0], image.device
    height, width = image.shape[2:]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator, device=device)

    def chance(probability: float) -> Tensor:
        return uniform(0, 1, 1, 1, 1) < probability

    def smooth_noise(length: float) -> Tensor:
        """Zero mean, unit variance, correlated over about ``length`` pixels."""
        size = [max(2, round(height / length)), max(2, round(width / length))]
        coarse = torch.randn(batch, 1, *size, generator=generator, device=device)
        field = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
        return field / field.std(dim=(2, 3), keepdim=True)

    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=device, dtype=torch.float32)[None]
    inside_brain = brain_mask.flatten(1).float()
    result, lesions = image, torch.zeros_like(brain_mask)
    wanted = chance(probability)
    number = torch.floor(uniform(1, most_lesions + 1, 1, 1, 1))
    tissue = F.avg_pool2d(image * brain_mask, 9, stride=1, padding=4)
    tissue = tissue / F.avg_pool2d(brain_mask.float(), 9, stride=1, padding=4).clamp(min=1e-3)

    smallest = math.log(radius_range[0])
    largest = uniform(smallest, math.log(radius_range[1]), 1, 1, 1)
    typical = (image * brain_mask).sum(dim=(2, 3), keepdim=True) / brain_mask.sum(dim=(2, 3), keepdim=True)

    for i in range(most_lesions):
        centre = random_pixel(inside_brain, generator)
        x, y = rows - (centre // width).reshape(-1, 1, 1, 1), columns - (centre % width).reshape(-1, 1, 1, 1)
        angle, stretch = uniform(0, torch.pi, 1, 1, 1), torch.exp(uniform(-0.5, 0.5, 1, 1, 1))
        u = (torch.cos(angle) * x + torch.sin(angle) * y) * stretch
        v = (torch.cos(angle) * y - torch.sin(angle) * x) / stretch
        share_of_largest = uniform(0, 1, 1, 1, 1) if i else 1.0
        radius = torch.exp(smallest + share_of_largest * (largest - smallest))
        rough = smooth_noise(16) * uniform(0, 0.35, 1, 1, 1) + smooth_noise(6) * uniform(0, 0.15, 1, 1, 1)
        distance = torch.sqrt(u**2 + v**2)
        inward = radius * (1 + rough) - distance
        edge = torch.exp(uniform(-1.2, 0.9, 1, 1, 1)).minimum(radius / 2)
        share = torch.sigmoid(inward / edge)
        fluid = torch.sigmoid((image - typical + 0.8) / 0.3)
        share = torch.where(chance(spare_fluid_share), share * fluid, share)
        share = share * brain_mask * wanted * (i < number)

        sign = torch.where(chance(dark_share), -1.0, 1.0)
        contrast = sign * uniform(contrast_range[0], contrast_range[1], 1, 1, 1)
        core_size, has_core = uniform(0.4, 0.95, 1, 1, 1), chance(core_share)
        core = has_core * torch.sigmoid((radius * (core_size + 0.6 * rough + 0.15 * smooth_noise(6)) - distance) / edge)
        core_contrast = uniform(core_contrast_range[0], core_contrast_range[1], 1, 1, 1)
        contrast = torch.lerp(contrast, core_contrast, core)
        texture = smooth_noise(8) * uniform(0, 0.4, 1, 1, 1) + smooth_noise(3) * uniform(0, 0.3, 1, 1, 1)
        painted = torch.where(chance(replace_share), tissue, result) + contrast + texture
        result = torch.where(brain_mask, (result + share * (painted - result)).clamp(min=BACKGROUND + 1e-3), result)
        lesions |= share > 0.5
    return result, lesions
