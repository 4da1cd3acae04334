# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How much a pixel looks like a lesion: what the judge says, and how bright it is. No part of the published method."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.errors import InputError
from bundle.modalities import MODALITIES

SCORES = ("intensity", "probability")


def score_kind(modality: str) -> str:
    """What the lesion score of images of a modality is made of, one of ``SCORES``; see :py:func:`lesion_score`.

    Raises:
        InputError: when there is no such modality.
    """
    if modality not in MODALITIES:
        raise InputError(
            f"{modality}: no such modality; give --modality as one of {', '.join(MODALITIES)}, "
            f"or --score as one of {', '.join(SCORES)}."
        )
    return MODALITIES[modality].score


def _gaussian(size: int, sigma: float, device: torch.device) -> Tensor:
    """The matrix, size x size, that smooths along an axis, the highest weight being 1: many times faster on a CPU than
    a convolution of one channel."""
    place = torch.arange(size, device=device, dtype=torch.float32)
    distance = (place[:, None] - place[None]).abs()
    return torch.where(distance <= int(4 * sigma + 0.5), torch.exp(-0.5 * (distance / sigma) ** 2), 0.0)


def robust_intensity(image: Tensor, brain_mask: Tensor, sigma: float) -> Tensor:
    """Distance from the median of the brain in the slice, in interquartile ranges of the volume, smoothed in plane.

    The median of each slice, because slices differ: by where the coil is near, and from one thick slice to the next.

    Args:
        image: the slices of one volume, D x 1 x H x W.
        brain_mask: bool, the shape of ``image``.
        sigma: of the Gaussian, in pixels; what is not brain has no weight in it.

    Returns:
        Tensor: float32, the shape of ``image``, 0 outside the brain.
    """
    inside = image[brain_mask].float()
    number = len(inside)
    if number == 0:
        return torch.zeros_like(image, dtype=torch.float32)
    # kthvalue counts from 1
    low, high = inside.kthvalue(number // 4 + 1)[0], inside.kthvalue(3 * number // 4 + 1)[0]
    # of an even number of values the higher one in the middle, where nanmedian takes the lower one
    median = -torch.where(brain_mask, -image.float(), float("nan")).flatten(1).nanmedian(dim=1)[0][:, None, None, None]
    brain = brain_mask.float()
    values = torch.where(brain_mask, (image.float() - median) / (high - low).clamp(min=1e-6), 0.0)
    rows, columns = _gaussian(image.shape[2], sigma, image.device), _gaussian(image.shape[3], sigma, image.device)
    return rows @ values @ columns / (rows @ brain @ columns).clamp(min=1e-3) * brain


def lesion_intensity(image: Tensor, brain_mask: Tensor, contrast: str, sigma: float) -> Tensor:
    """The robust intensity in the direction of lesions: higher where a pixel looks more like one.

    Args:
        image: the slices of one volume, D x 1 x H x W, normalised.
        brain_mask: bool, the shape of ``image``.
        contrast: "bright", "dark" or "any", see :py:func:`bundle.model.contrast.reconstruction_error`.
        sigma: see :py:func:`robust_intensity`.

    Returns:
        Tensor: float32, the shape of ``image``, in interquartile ranges.
    """
    intensity = robust_intensity(image, brain_mask, sigma)
    if contrast == "dark":
        intensity = -intensity
    elif contrast == "any":
        intensity = intensity.abs()
    return intensity


def lesion_score(
    probability: Tensor, image: Tensor, brain_mask: Tensor, contrast: str, sigma: float, limit: float, score: str
) -> Tensor:
    """How much each pixel looks like a lesion.

    By "intensity", the square root of the judge's probability times the intensity in the direction of lesions; by
    "probability" the judge's probability alone.

    Args:
        probability: of the slices of one volume, D x 1 x H x W, 0 to 1.
        image: the shape of ``probability``, normalised.
        brain_mask: bool, the shape of ``probability``.
        contrast: see :py:func:`lesion_intensity`.
        sigma: see :py:func:`robust_intensity`.
        limit: interquartile ranges above which a higher intensity counts no more.
        score: "intensity" or "probability".

    Returns:
        Tensor: float32, the shape of ``probability``, 0 to ``limit``, or 0 to 1; 0 outside the brain.
    """
    if score == "probability":
        return probability.float() * brain_mask
    return probability.float().sqrt() * lesion_intensity(image, brain_mask, contrast, sigma).clamp(0.0, limit)
