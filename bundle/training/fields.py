# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What another scanner does to a slice: brightness of its coil, contrast, noise. Augmentation, no part of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bundle.preprocessing.intensities import BACKGROUND
from bundle.training.smooth_noise import enlarged


def as_signal(image: Tensor) -> Tensor:
    """From normalised intensities (-3 to +3) to signal: 0 where there is none, 1 at the brain's 90th percentile."""
    return (image - BACKGROUND) / (-2 * BACKGROUND)


def as_normalised(signal: Tensor, brain_mask: Tensor) -> Tensor:
    """The reverse of :py:func:`as_signal`: no brain pixel has the background's value, every other pixel has."""
    normalised = (signal * (-2 * BACKGROUND) + BACKGROUND).clamp(min=BACKGROUND + 1e-3)
    return torch.where(brain_mask, normalised, BACKGROUND)


def uniform_per_image(image: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """One number per image, B x 1 x 1 x 1, uniform from ``low`` to ``high``."""
    return low + (high - low) * torch.rand(len(image), 1, 1, 1, generator=generator, device=image.device)


def smooth_fields(
    brain_mask: Tensor,
    strength: Tensor,
    generator: Generator | None = None,
    *,
    cells: int,
    ramp_share: float,
) -> Tensor:
    """Random smooth multiplicative fields, as the sensitivity of a coil is; their geometric mean over the brain is 1.

    The logarithm is a ramp in a random direction plus smooth noise on ``cells`` x ``cells`` cells of the image.

    Args:
        brain_mask: bool, B x 1 x H x W, brain in each image.
        strength: standard deviation of the logarithm over the brain, B x 1 x 1 x 1 (0.2: most of the brain is between
            0.7 and 1.4 times as bright as it should be).
        generator: of the device of ``brain_mask``; the default generator when None.
        cells: along each axis; more of them, and the field changes over shorter distances.
        ramp_share: average share of the ramp in the logarithm, 0 to 1.

    Returns:
        Tensor: float32, the shape of ``brain_mask``, positive.
    """
    batch, device = len(brain_mask), brain_mask.device
    height, width = brain_mask.shape[2:]
    coarse = torch.randn(batch, 1, cells, cells, generator=generator, device=device)
    noise = enlarged(coarse, (height, width))
    angle = 2 * torch.pi * torch.rand(batch, 1, 1, 1, generator=generator, device=device)
    rows = torch.linspace(-1, 1, height, device=device)[:, None]
    columns = torch.linspace(-1, 1, width, device=device)[None]
    ramp = torch.cos(angle) * rows + torch.sin(angle) * columns
    share = (2 * ramp_share * torch.rand(batch, 1, 1, 1, generator=generator, device=device)).clamp(max=1.0)

    weight = brain_mask.float() / brain_mask.float().sum(dim=(2, 3), keepdim=True).clamp(min=1)

    def standardised(values: Tensor) -> Tensor:
        values = values - (values * weight).sum(dim=(2, 3), keepdim=True)
        return values / (values.square() * weight).sum(dim=(2, 3), keepdim=True).clamp(min=1e-8).sqrt()

    logarithm = standardised(share * standardised(ramp) + (1 - share) * standardised(noise)) * strength
    return torch.exp(logarithm.clamp(-1.5, 1.5))


def scanned(
    image: Tensor,
    brain_mask: Tensor,
    generator: Generator | None = None,
    *,
    field_share: float,
    field_range: Sequence[float],
    field_cells: int,
    ramp_share: float,
    noise_share: float,
    noise_range: Sequence[float],
    blur_share: float,
    gain_range: Sequence[float],
) -> Tensor:
    """A slice as another scanner would give it: times a smooth field, blurred, with noise; its mean brightness stays.

    Args:
        image: normalised slices, B x 1 x H x W.
        brain_mask: bool, the shape of ``image``.
        generator: of the device of ``image``; the default generator when None.
        field_share: share of the images with a field, see :py:func:`smooth_fields`.
        field_range: least and largest strength of the field, uniform.
        field_cells: see ``cells`` of :py:func:`smooth_fields`.
        ramp_share: see :py:func:`smooth_fields`.
        noise_share: share of the images with noise.
        noise_range: its standard deviation, in parts of the brain's 90th percentile.
        blur_share: share of the images that are blurred (3 x 3 mean, within the brain).
        gain_range: logarithm of a factor on the whole slice: slices of a volume differ.

    Returns:
        Tensor: float32, the shape of ``image``.
    """
    uniform = partial(uniform_per_image, image, generator=generator)

    def chance(probability: float) -> Tensor:
        return (uniform(0, 1) < probability).float()

    inside = brain_mask.float()
    signal = as_signal(image) * inside
    mean = signal.sum(dim=(2, 3), keepdim=True)
    near = F.avg_pool2d(inside, 3, stride=1, padding=1).clamp(min=1e-3)
    blurred = F.avg_pool2d(signal, 3, stride=1, padding=1) / near
    result = torch.lerp(signal, blurred, chance(blur_share) * uniform(0, 1))
    strength = chance(field_share) * uniform(*field_range)
    result = result * smooth_fields(brain_mask, strength, generator, cells=field_cells, ramp_share=ramp_share)
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    result = (result + noise * chance(noise_share) * uniform(*noise_range)) * inside
    result = result * mean / result.sum(dim=(2, 3), keepdim=True).clamp(min=1e-3)
    return as_normalised(result * torch.exp(uniform(*gain_range)), brain_mask)


def other_contrast(
    image: Tensor,
    brain_mask: Tensor,
    generator: Generator | None = None,
    *,
    share: float,
    gamma_range: Sequence[float],
    gain_range: Sequence[float],
) -> Tensor:
    """A slice of a scanner with another contrast: signal to a power, times a gain. What is to be painted back has both.

    Args:
        image: normalised slices, B x 1 x H x W.
        brain_mask: bool, the shape of ``image``.
        generator: of the device of ``image``; the default generator when None.
        share: of the images that change.
        gamma_range: logarithm of the power; the brain's 90th percentile stays where it is.
        gain_range: logarithm of the gain; a lesion in the volume moves its 90th percentile.

    Returns:
        Tensor: float32, the shape of ``image``.
    """
    uniform = partial(uniform_per_image, image, generator=generator)
    wanted = (uniform(0, 1) < share).float()
    gamma, gain = torch.exp(wanted * uniform(*gamma_range)), torch.exp(wanted * uniform(*gain_range))
    return as_normalised(as_signal(image).clamp(min=1e-4) ** gamma * gain, brain_mask)
