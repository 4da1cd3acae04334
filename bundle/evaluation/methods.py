# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The methods of a comparison: plain thresholds, and the parts of IterMask²."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bundle.evaluation.cases import Case
from bundle.evaluation.plain_maps import (
    equalised,
    median_of_neighbours,
    percentile_normalised,
    robust_by_slice,
    robust_normalised,
    smoothed,
)
from bundle.postprocessing.cleaning import cleaned, without_small
from bundle.postprocessing.volume_threshold import sharpest_threshold

# what the plain masks share with those of IterMask²: "smallest_share" in the configs
SMALLEST_SHARE = 0.1


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

    def mask(self, values: np.ndarray, threshold: float | None, case: Case) -> np.ndarray:
        """The brain above a threshold (without one ``values`` are the mask), cleaned as the method asks for."""
        mask = values if threshold is None else (values > threshold) & case.brain
        # a hole that is filled may reach beyond the brain
        return mask if self.clean is None else self.clean(mask) & case.brain


def as_delivered(mask: np.ndarray) -> np.ndarray:
    """Cleaned as the judge's masks are: holes filled, then small components dropped."""
    return cleaned(mask, smallest_share=SMALLEST_SHARE)


def without_small_components(mask: np.ndarray) -> np.ndarray:
    """Only what is no smaller than a tenth of the largest component."""
    return without_small(mask, share=SMALLEST_SHARE)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Only the largest component: wrong for many diseases, and shown for what it brings with one tumour."""
    return without_small(mask, share=1.0)


def plain_at_sharpest_edge(case: Case) -> np.ndarray:
    """The plain threshold (median of each slice) by the rule of the judge's masks, among the brightest tenth."""
    intensity = smoothed(robust_by_slice(case))
    values = median_of_neighbours(intensity)
    lowest = float(np.percentile(values[case.brain], 90))
    # intensities span less than scores: steps of 6 %, where scores take 16 %
    threshold = sharpest_threshold(
        values,
        intensity,
        case.brain,
        lowest,
        smallest_share=SMALLEST_SHARE,
        size_exponent=0.2,
        ratio=1.06,
        fewest=10,
        softness=0.1,
    )
    return as_delivered((values > threshold) & case.brain) & case.brain


def refined_mask(case: Case) -> np.ndarray:
    """What was hidden to the end of the refinement."""
    return case.mask if case.score is None else case.iterations >= case.iterations.max()


def judged_score(case: Case) -> np.ndarray:
    """The lesion score of the judge.

    Raises:
        ValueError: when the model had no judge.
    """
    if case.score is None:
        raise ValueError(f"{case.name}: the model that was evaluated has no judge.")
    return case.score


def cleaned_plain(case: Case) -> np.ndarray:
    """The plain map, smoothed: distance from the median of the brain in interquartile ranges."""
    return median_of_neighbours(smoothed(robust_normalised(case)))


CLEANED_PLAIN = Method(
    "plain: (x - median) / IQR, smoothed, 3D median, cleaned as the judge's masks",
    cleaned_plain,
    as_delivered,
)


CLEANED_PLAIN_BY_SLICE = Method(
    "plain: the same with the median of each slice",
    lambda case: median_of_neighbours(smoothed(robust_by_slice(case))),
    as_delivered,
)


PLAIN = (
    Method("plain: percentile-normalised", percentile_normalised),
    Method("plain: percentile-normalised, smoothed", lambda case: smoothed(percentile_normalised(case))),
    Method("plain: (x - median) / IQR", robust_normalised),
    Method("plain: (x - median) / IQR, smoothed", lambda case: smoothed(robust_normalised(case))),
    Method("plain: equalised, 3D median, small components removed", equalised, without_small_components),
    CLEANED_PLAIN,
    CLEANED_PLAIN_BY_SLICE,
    Method("plain: of the whole volume, dark in the place of bright", lambda case: -cleaned_plain(case), as_delivered),
    Method("plain: of the whole volume, dark or bright", lambda case: abs(cleaned_plain(case)), as_delivered),
    Method("plain: of each slice, at the sharpest edge of each volume, cleaned", plain_at_sharpest_edge),
)


# columns of gains, each over a plain threshold with the cleaning of the judge's masks
BASELINES = {
    "gain over the cleaned plain threshold": CLEANED_PLAIN.name,
    "gain over the same with the median of each slice": CLEANED_PLAIN_BY_SLICE.name,
}


REFINED = (
    Method("IterMask2: initial network, one-shot error", lambda case: case.initial_error),
    Method("IterMask2: final mask of the refinement", refined_mask),
    Method("IterMask2: last error map", lambda case: case.error),
)


JUDGED = (
    Method("IterMask2, judged: mask as delivered", lambda case: case.mask),
    Method("IterMask2, judged: score, cleaned", judged_score, as_delivered),
    Method("IterMask2, judged: largest component of the mask as delivered", lambda case: case.mask, largest_component),
)
