# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Maps of the plain intensity: what thresholding gives without any network."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import exposure

from bundle.evaluation.cases import Case


def percentile_normalised(case: Case) -> np.ndarray:
    """(x - p1) / (p99 - p1) over the brain; 0 outside."""
    low, high = np.percentile(case.image[case.brain], [1, 99])
    return np.where(case.brain, (case.image - low) / (high - low), 0.0)


def robust_normalised(case: Case) -> np.ndarray:
    """(x - median) / interquartile range over the brain; 0 outside."""
    quarter, median, three_quarters = np.percentile(case.image[case.brain], [25, 50, 75])
    return np.where(case.brain, (case.image - median) / (three_quarters - quarter), 0.0)


def robust_by_slice(case: Case) -> np.ndarray:
    """(x - median of the slice) / interquartile range over the brain; 0 outside."""
    values = robust_normalised(case)
    medians = np.ma.median(np.ma.array(values, mask=~case.brain), axis=(0, 1)).filled(0.0)
    return np.where(case.brain, values - medians, 0.0)


def equalised(case: Case) -> np.ndarray:
    """Histogram-equalised brain, 3D median of 3 x 3 x 3; 0 outside."""
    equal = exposure.equalize_hist(case.image, nbins=256, mask=case.brain)
    return median_of_neighbours(np.where(case.brain, equal, 0.0))


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing of ``sigma`` pixels in each axial slice."""
    return ndimage.gaussian_filter(values, (sigma, sigma, 0))


def median_of_neighbours(values: np.ndarray) -> np.ndarray:
    """3D median of 3 x 3 x 3 voxels."""
    return ndimage.median_filter(values, size=3)
