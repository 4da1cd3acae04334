# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Synthetic lesions painted into healthy slices, so that the networks learn to leave lesions out, not to copy them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bundle.preprocessing.intensities import BACKGROUND
from bundle.training.random_masks import random_pixel
from bundle.training.smooth_noise import enlarged, of_unit_variance


class _Draws:
    """Random numbers for each image of a batch, of which those of the images that are ``used`` are given: the numbers
    of an image depend on no other one.

    Args:
        image: B x 1 x H x W.
        generator: of the device of ``image``; the default generator when None.
    """

    def __init__(self, image: Tensor, generator: Generator | None) -> None:
        self.batch, self.size, self.device = len(image), image.shape[2:], image.device
        self.generator = generator
        self.used = torch.arange(self.batch, device=self.device)

    def uniform(self, low: float, high: float) -> Tensor:
        drawn = torch.rand(self.batch, 1, 1, 1, generator=self.generator, device=self.device)
        return low + (high - low) * drawn[self.used]

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def smooth_noise(self, length: float) -> Tensor:
        """Unit variance, correlated over about ``length`` pixels."""
        few = [max(2, round(size / length)) for size in self.size]
        coarse = torch.randn(self.batch, 1, *few, generator=self.generator, device=self.device)
        return of_unit_variance(enlarged(coarse[self.used], self.size))

    def noise_of(self, lengths: Sequence[Sequence[float]]) -> Tensor:
        """The sum of noises of several lengths, each of a strength up to the one given."""
        return reduce(torch.add, [self.smooth_noise(length) * self.uniform(0, most) for length, most in lengths])


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
    tissue_pixels: int,
    spare_fluid_share: float,
    fluid: Sequence[float],
    stretch: float,
    edge_range: Sequence[float],
    roughness: Sequence[Sequence[float]],
    texture: Sequence[Sequence[float]],
    core_size_range: Sequence[float],
    core_roughness: float,
    core_noise: Sequence[float],
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
        tissue_pixels: side of the square whose mean then stands for the tissue; odd.
        spare_fluid_share: share of lesions that spare dark places such as sulci and ventricles.
        fluid: how far below the brain's mean these begin, and how wide their edge is, same units as the contrast.
        stretch: natural logarithm of the largest stretch of a circle to an ellipse.
        edge_range: natural logarithms of the narrowest and the widest edge in pixels.
        roughness: of the outline: pairs of a length in pixels and the largest change of the radius over it, a share.
        texture: pairs of a length in pixels and the largest change of the intensity over it.
        core_size_range: smallest and largest radius of a core, as a share of the lesion's.
        core_roughness: how much of the roughness of the lesion's outline that of its core has, a share.
        core_noise: what comes to that: a length in pixels and the standard deviation of the radius over it, a share.

    Returns:
        tuple: the images with lesions, and where these are (bool).
    """
    height, width = image.shape[2:]
    draws = _Draws(image, generator)
    rows = torch.arange(height, device=image.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=image.device, dtype=torch.float32)[None]
    inside_brain = brain_mask.flatten(1).float()
    wanted = draws.chance(probability)
    number = torch.floor(draws.uniform(1, most_lesions + 1)) * wanted
    # the mean of squares: of columns, and of these in rows
    reach = tissue_pixels // 2
    tissue, share = (
        F.avg_pool2d(F.avg_pool2d(values, (tissue_pixels, 1), 1, (reach, 0)), (1, tissue_pixels), 1, (0, reach))
        for values in (image * brain_mask, brain_mask.float())
    )
    tissue = tissue / share.clamp(min=1e-3)

    smallest = math.log(radius_range[0])
    sizes = draws.uniform(smallest, math.log(radius_range[1]))
    means = (image * brain_mask).sum(dim=(2, 3), keepdim=True) / brain_mask.sum(dim=(2, 3), keepdim=True)
    result, lesions = image.clone(), torch.zeros_like(brain_mask)

    for i in range(most_lesions):
        draws.used = used = (number > i).flatten().nonzero()[:, 0]
        before, healthy, brain, around, typical, largest = (
            values[used] for values in (result, image, brain_mask, tissue, means, sizes)
        )
        centre = random_pixel(inside_brain, generator)[used]
        x, y = rows - (centre // width).reshape(-1, 1, 1, 1), columns - (centre % width).reshape(-1, 1, 1, 1)
        angle, stretched = draws.uniform(0, torch.pi), torch.exp(draws.uniform(-stretch, stretch))
        u = (torch.cos(angle) * x + torch.sin(angle) * y) * stretched
        v = (torch.cos(angle) * y - torch.sin(angle) * x) / stretched
        share_of_largest = draws.uniform(0, 1) if i else 1.0
        radius = torch.exp(smallest + share_of_largest * (largest - smallest))
        rough = draws.noise_of(roughness)
        distance = torch.sqrt(u**2 + v**2)
        inward = radius * (1 + rough) - distance
        edge = torch.exp(draws.uniform(edge_range[0], edge_range[1])).minimum(radius / 2)
        share = torch.sigmoid(inward / edge)
        no_fluid = torch.sigmoid((healthy - typical + fluid[0]) / fluid[1])
        share = torch.where(draws.chance(spare_fluid_share), share * no_fluid, share) * brain

        sign = torch.where(draws.chance(dark_share), -1.0, 1.0)
        contrast = sign * draws.uniform(contrast_range[0], contrast_range[1])
        core_size, has_core = draws.uniform(core_size_range[0], core_size_range[1]), draws.chance(core_share)
        core_size = core_size + core_roughness * rough + core_noise[1] * draws.smooth_noise(core_noise[0])
        core = has_core * torch.sigmoid((radius * core_size - distance) / edge)
        contrast = torch.lerp(contrast, draws.uniform(core_contrast_range[0], core_contrast_range[1]), core)
        pattern = draws.noise_of(texture)
        painted = torch.where(draws.chance(replace_share), around, before) + contrast + pattern
        painted = (before + share * (painted - before)).clamp(min=BACKGROUND + 1e-3)
        result[used] = torch.where(brain, painted, before)
        lesions[used] |= share > 0.5
    return result, lesions
