# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The score of a volume by which its lesions are marked, the smallest too."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def smoothed_across_slices(score: np.ndarray, slice_distance: float, sigma: float) -> np.ndarray:
    """The score by which lesions are marked.

    A median would wipe out the smallest ones. Smoothing across slices leaves them, and where slices are thin it takes
    away what shows in one slice alone.

    Args:
        score: lesion score of a volume as the slices gave it, slices along the last axis.
        slice_distance: from one slice to the next, in millimetres.
        sigma: of the Gaussian across slices, in millimetres.
    """
    return ndimage.gaussian_filter1d(score, sigma / slice_distance, axis=-1)
