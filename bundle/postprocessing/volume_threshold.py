# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The threshold of a volume, where the edges of its mask are sharpest."""

from __future__ import annotations

import math

import numpy as np
from monai.transforms import generate_spatial_bounding_box
from scipy import ndimage

from bundle.postprocessing.cleaning import cleaned


def edge_step(mask: np.ndarray, intensity: np.ndarray, brain: np.ndarray) -> float:
    """How much brighter the outermost pixels of a mask are than the pixels of the brain around it, slice by slice.

    Args:
        mask: bool, within the brain, slices along the last axis.
        intensity: the shape of ``mask``; lesions are higher.
        brain: bool, the shape of ``mask``.

    Returns:
        float: difference of the means; minus infinity where the mask has no surround.
    """
    around = np.ones((3, 3, 1))
    surround = ndimage.binary_dilation(mask, around) & brain & ~mask
    if not surround.any():
        return -math.inf
    return float(intensity[mask & ~ndimage.binary_erosion(mask, around)].mean() - intensity[surround].mean())


def sharpest_threshold(
    score: np.ndarray,
    intensity: np.ndarray,
    brain: np.ndarray,
    lowest: float,
    smallest_share: float,
    size_exponent: float,
    ratio: float,
    fewest: int,
    softness: float,
) -> float:
    """The threshold at which the outline of the lesions of a volume follows the sharpest edges of its image.

    Scanners and lesions differ in contrast, and so does the best threshold; this one needs no label. Never below
    ``lowest``, so that no more of a healthy brain is marked than that one allows. It is no single winner, which could
    change places with another by a little noise, but the geometric mean of all thresholds that are tried, each with the
    weight exp((its sharpness / the highest - 1) / ``softness``): it moves a little when the image changes a little.

    Args:
        score: lesion score of a volume, slices along the last axis.
        intensity: the shape of ``score``, see :py:func:`bundle.model.lesion_score.lesion_intensity`.
        brain: bool, the shape of ``score``.
        lowest: positive threshold that marks what is to be considered at all.
        smallest_share: of the cleaning, see :py:func:`cleaned`.
        size_exponent: an edge counts as its step times the size of the mask to this power: of two outlines that are
            as sharp, the larger one is taken.
        ratio: between one threshold that is tried and the next.
        fewest: pixels of a mask that is tried.
        softness: share of the highest sharpness by which one that is lower loses the weight of a factor e; positive.

    Returns:
        float: ``lowest`` where nothing can be compared.
    """
    if score.max() <= lowest:
        return lowest
    starts, ends = generate_spatial_bounding_box(score[None], lambda x: x > lowest, margin=1, allow_smaller=True)
    # no threshold marks anything outside of this box
    box = tuple(slice(start, end) for start, end in zip(starts, ends))
    score, intensity, brain = score[box], intensity[box], brain[box]
    number = int(math.log(float(score.max()) / lowest) / math.log(ratio)) + 1
    steps = np.arange(number)
    sharpness = np.full(number, -math.inf)
    for i in steps:
        mask = cleaned(score > lowest * ratio**i, smallest_share) & brain
        if (size := int(mask.sum())) < fewest:
            break
        sharpness[i] = edge_step(mask, intensity, brain) * size**size_exponent
    highest = sharpness.max()
    if not 0 < highest < math.inf:
        return lowest
    weights = np.exp((sharpness / highest - 1) / softness)
    return float(lowest * ratio ** ((weights * steps).sum() / weights.sum()))
