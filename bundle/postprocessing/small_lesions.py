# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Small lesions, marked one by one."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from bundle.postprocessing.cleaning import with_holes_filled


def smoothed_across_slices(score: np.ndarray, slice_distance: float, sigma: float) -> np.ndarray:
    """The score by which small lesions are marked.

    A median would wipe out the smallest ones. Smoothing across slices leaves them, and where slices are thin it takes
    away what shows in one slice alone.

    Args:
        score: lesion score of a volume as the slices gave it, slices along the last axis.
        slice_distance: from one slice to the next, in millimetres.
        sigma: of the Gaussian across slices, in millimetres.
    """
    return ndimage.gaussian_filter1d(score, sigma / slice_distance, axis=-1)


def separate_lesions(score: np.ndarray, lowest: float, peak_ratio: float, cut: float) -> np.ndarray:
    """Small lesions one by one: each has its own threshold, and none is too small beside another.

    Args:
        score: lesion score of a volume, slices along the last axis, see :py:func:`smoothed_across_slices`.
        lowest: positive threshold that marks what is to be considered at all.
        peak_ratio: a lesion's highest score is at least so many times ``lowest``.
        cut: share of its highest score above which a pixel is part of a lesion.

    Returns:
        np.ndarray: bool, the shape of ``score``.
    """
    components, number = ndimage.label(score > lowest, np.ones((3, 3, 3)))
    # of what is in no component the peak is infinite, and nothing reaches it
    peaks = np.array([math.inf, *ndimage.maximum(score, components, range(1, number + 1))])
    peaks[peaks < peak_ratio * lowest] = math.inf
    return with_holes_filled(score >= cut * peaks[components])
