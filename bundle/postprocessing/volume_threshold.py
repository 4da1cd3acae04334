# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The threshold of a volume: where the edges of its mask are sharpest, near a share of what the mask scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

from bundle.postprocessing.cleaning import around, cleaned


def edge_step(mask: np.ndarray, intensity: np.ndarray, brain: np.ndarray) -> float:
    """How much brighter the outermost pixels of a mask are than the pixels of the brain around it, slice by slice.

    Args:
        mask: bool, within the brain, slices along the last axis.
        intensity: the shape of ``mask``; lesions are higher.
        brain: bool, the shape of ``mask``.

    Returns:
        float: difference of the means; minus infinity where the mask has no surround.
    """
    near = around(mask, margin=1)
    mask, intensity, brain = mask[near], intensity[near], brain[near]
    ring = np.ones((3, 3, 1))
    surround = ndimage.binary_dilation(mask, ring) & brain & ~mask
    if not surround.any():
        return -math.inf
    return float(intensity[mask & ~ndimage.binary_erosion(mask, ring)].mean() - intensity[surround].mean())


def threshold_weights(
    score: np.ndarray,
    intensity: np.ndarray,
    brain: np.ndarray,
    lowest: float,
    smallest_share: float,
    size_exponent: float,
    ratio: float,
    fewest: int,
    softness: float,
) -> np.ndarray:
    """How well the outline of the lesions of a volume follows the edges of its image, at each of many thresholds.

    Of the thresholds ``lowest * ratio**i`` each has the weight exp((its sharpness / the highest - 1) / ``softness``).

    Args:
        score: lesion score of a volume, slices along the last axis.
        intensity: the shape of ``score``, see :py:func:`bundle.model.lesion_score.lesion_intensity`.
        brain: bool, the shape of ``score``.
        lowest: positive threshold that marks what is to be considered at all.
        smallest_share: of the cleaning of the masks that are tried, see :py:func:`cleaned`; the mask that is delivered
            is cleaned by more rules.
        size_exponent: an edge counts as its step times the size of the mask to this power: of two outlines that are
            as sharp, the larger one is taken.
        ratio: between one threshold that is tried and the next.
        fewest: pixels of a mask that is tried.
        softness: share of the highest sharpness by which one that is lower loses the weight of a factor e; positive.

    Returns:
        np.ndarray: a weight for each i, at least one of them positive; 1 of ``lowest`` alone where nothing can be
        compared.
    """
    nothing = np.ones(1)
    if score.max() <= lowest:
        return nothing
    number = int(math.log(float(score.max()) / lowest) / math.log(ratio)) + 1
    steps = np.arange(number)
    sharpness = np.full(number, -math.inf)
    for i in steps:
        above = score > lowest * ratio**i
        # no higher threshold marks anything outside of this box
        box = around(above, margin=1)
        score, intensity, brain = score[box], intensity[box], brain[box]
        mask = cleaned(above[box], smallest_share) & brain
        if (size := int(mask.sum())) < fewest:
            break
        sharpness[i] = edge_step(mask, intensity, brain) * size**size_exponent
    highest = sharpness.max()
    if not 0 < highest < math.inf:
        return nothing
    return np.exp((sharpness / highest - 1) / softness)


def share_of_what_is_above(score: np.ndarray, brain: np.ndarray, lowest: float, share: float) -> float:
    """The threshold that is a share of the mean score of what lies above it.

    With a half it is that of Ridler and Calvard (IEEE Trans. SMC 1978) for a background that scores 0: half-way up the
    edge. Where the tissue around a lesion scores too, as it does at a blurred rim, the true edge lies lower.

    Args:
        score: lesion score of a volume, 0 or more.
        brain: bool, the shape of ``score``.
        lowest: what scores less is not considered.
        share: between 0 and 1.

    Returns:
        float: no less than ``lowest``.
    """
    values = np.sort(score[brain & (score > lowest)])[::-1]
    if not len(values):
        return lowest
    means = values.cumsum(dtype=np.float64) / np.arange(1, len(values) + 1)
    return float(values[values >= share * means].min())


def nearness(number: int, lowest: float, ratio: float, middle: float, spread: float) -> np.ndarray:
    """Weights of thresholds by how near they are to one of them: a Gaussian of their logarithm.

    Args:
        number: of thresholds, ``lowest * ratio**i``.
        lowest: the first of them.
        ratio: between one of them and the next.
        middle: threshold whose weight is 1.
        spread: standard deviation, a difference of logarithms.
    """
    distances = np.arange(number) * math.log(ratio) - math.log(middle / lowest)
    return np.exp(-0.5 * (distances / spread) ** 2)


def mean_threshold(weights: np.ndarray, lowest: float, ratio: float) -> float:
    """The geometric mean of the thresholds of :py:func:`threshold_weights`."""
    return float(lowest * ratio ** ((weights * np.arange(len(weights))).sum() / weights.sum()))


def threshold_range(weights: np.ndarray, lowest: float, ratio: float, tail: float) -> tuple[float, float]:
    """The thresholds of :py:func:`threshold_weights` between which most of the weight lies.

    Args:
        weights: of the thresholds ``lowest * ratio**i``.
        lowest: the first of them.
        ratio: between one of them and the next.
        tail: share of the weight that may lie below the first that is given, and above the second; up to 0.5.
    """
    below = np.cumsum(weights) / weights.sum()
    low, high = np.searchsorted(below, tail), np.searchsorted(below, 1 - tail)
    return float(lowest * ratio**low), float(lowest * ratio**high)


def sharpest_threshold(
    score: np.ndarray, intensity: np.ndarray, brain: np.ndarray, lowest: float, smallest_share: float, **search: Any
) -> float:
    """The threshold at which the outline of the lesions of a volume follows the sharpest edges of its image.

    Scanners and lesions differ in contrast, and so does the best threshold; this one needs no label. Never below
    ``lowest``, so that no more of a healthy brain is marked than that one allows. It is no single winner, which could
    change places with another by a little noise, but the geometric mean of all thresholds that are tried by their
    weights: it moves a little when the image changes a little.

    Args:
        score: see :py:func:`threshold_weights`, as the others.
        intensity: the shape of ``score``.
        brain: bool, the shape of ``score``.
        lowest: positive threshold that marks what is to be considered at all.
        smallest_share: of the cleaning.
        search: the other numbers.

    Returns:
        float: ``lowest`` where nothing can be compared.
    """
    weights = threshold_weights(score, intensity, brain, lowest, smallest_share, **search)
    return mean_threshold(weights, lowest, search["ratio"])
