# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The methods of the comparison: plain thresholds and the parts of IterMask2."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import exposure

from bundle.evaluation.cases import Case
from bundle.postprocessing.cleaning import cleaned, without_small
from bundle.postprocessing.volume_threshold import sharpest_threshold


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
    return ndimage.median_filter(np.where(case.brain, equal, 0.0), size=3)


def smoothed(values: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """Gaussian smoothing of ``sigma`` pixels in each axial slice."""
    return ndimage.gaussian_filter(values, (sigma, sigma, 0))


def _marked(values: np.ndarray, threshold: float | None, case: Case, clean: Callable | None) -> np.ndarray:
    """The brain above a threshold (without one ``values`` are the mask), cleaned where ``clean`` is given."""
    mask = values if threshold is None else (values > threshold) & case.brain
    # what is filled may be no brain
    return mask if clean is None else clean(mask) & case.brain


def plain_at_sharpest_edge(case: Case) -> np.ndarray:
    """The plain threshold (median of each slice) by the rule of the judge's masks, among the brightest tenth."""
    intensity = smoothed(robust_by_slice(case))
    values = ndimage.median_filter(intensity, size=3)
    lowest = float(np.percentile(values[case.brain], 90))
    # intensities span less than scores: finer steps
    threshold = sharpest_threshold(values, intensity, case.brain, lowest, ratio=1.06)
    return _marked(values, threshold, case, cleaned)


def refined_mask(case: Case) -> np.ndarray:
    """What was hidden to the end."""
    return case.mask if case.score is None else case.iterations >= case.iterations.max()


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Only the largest component: wrong for many diseases, and shown for what it brings with one tumour."""
    return without_small(mask, share=1.0)


class Method(NamedTuple):
    """A method of the table.

    Attributes:
        name: in the table.
        values: from a case to a map that is thresholded; or to a bool mask, which is taken as it is.
        clean: what is done to each mask.
    """

    name: str
    values: Callable[[Case], np.ndarray]
    clean: Callable[[np.ndarray], np.ndarray] | None = None


PLAIN = (
    Method("plain: percentile-normalised", percentile_normalised),
    Method("plain: percentile-normalised, smoothed", lambda case: smoothed(percentile_normalised(case))),
    Method("plain: (x - median) / IQR", robust_normalised),
    Method("plain: (x - median) / IQR, smoothed", lambda case: smoothed(robust_normalised(case))),
    Method("plain: equalised, 3D median, small components removed", equalised, without_small),
    Method(
        "plain: (x - median) / IQR, smoothed, 3D median, cleaned as the judge's masks",
        lambda case: ndimage.median_filter(smoothed(robust_normalised(case)), size=3),
        cleaned,
    ),
    Method(
        "plain: the same with the median of each slice",
        lambda case: ndimage.median_filter(smoothed(robust_by_slice(case)), size=3),
        cleaned,
    ),
    Method("plain: the same at the sharpest edge of each volume, cleaned", plain_at_sharpest_edge),
)


# what gains are measured against, both with the cleaning of the judge's masks and the labels of the validation cases
BASELINES = {
    "gain over the cleaned plain threshold": PLAIN[-3].name,
    "gain over the same with the median of each slice": PLAIN[-2].name,
}


REFINED = (
    Method("IterMask2: initial network, one-shot error", lambda case: case.initial_error),
    Method("IterMask2: final mask of the refinement", refined_mask),
    Method("IterMask2: last error map", lambda case: case.error),
)


JUDGED = (
    Method("IterMask2, judged: mask as delivered", lambda case: case.mask),
    Method("IterMask2, judged: score, 3D median, cleaned", lambda case: case.score, cleaned),
    Method("IterMask2, judged: largest component of the mask as delivered", lambda case: case.mask, largest_component),
)
