# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The methods of a comparison: plain thresholds, and the parts of IterMask²."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

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


class Method(NamedTuple):
    """A method of the table.

    Attributes:
        name: in the table.
        values: from a case to a map that is thresholded; or to a bool mask, which is taken as it is.
        clean: what is done to each mask.
        painted: whether it has a reconstruction, whose likeness to the scan and time the table tells.
    """

    name: str
    values: Callable[[Case], np.ndarray]
    clean: Callable[[np.ndarray], np.ndarray] | None = None
    painted: bool = False

    def mask(self, values: np.ndarray, threshold: float | None, case: Case) -> np.ndarray:
        """The brain above a threshold (without one ``values`` are the mask), cleaned as the method asks for."""
        mask = values if threshold is None else (values > threshold) & case.brain
        # a hole that is filled may reach beyond the brain
        return mask if self.clean is None else self.clean(mask) & case.brain


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Only the largest component: wrong for many diseases, and shown for what it brings with one tumour."""
    return without_small(mask, share=1.0)


def plain_at_sharpest_edge(
    case: Case, sigma: float, smallest_share: float, percentile: float, **search: Any
) -> np.ndarray:
    """The plain threshold (median of each slice) by the rule of the judge's masks.

    Args:
        case: to mark.
        sigma: of the smoothing, see :py:func:`smoothed`.
        smallest_share: of the cleaning.
        percentile: of the intensities that is the lowest threshold.
        **search: see :py:func:`bundle.postprocessing.volume_threshold.sharpest_threshold`. Intensities span less than
            scores, and take smaller steps.
    """
    intensity = smoothed(robust_by_slice(case), sigma)
    values = median_of_neighbours(intensity)
    lowest = float(np.percentile(values[case.brain], percentile))
    threshold = sharpest_threshold(values, intensity, case.brain, lowest, smallest_share=smallest_share, **search)
    return cleaned((values > threshold) & case.brain, smallest_share) & case.brain


def judged_score(case: Case) -> np.ndarray:
    """The lesion score of the judge.

    Raises:
        ValueError: when the model had no judge.
    """
    if case.score is None:
        raise ValueError(f"{case.name}: the model that was evaluated has no judge.")
    return case.score


def plain_methods(smallest_share: float, smoothing: float, sharpest: Mapping[str, Any]) -> list[Method]:
    """Thresholds of the intensity, without any network; ``configs/comparison.json`` has the numbers.

    Args:
        smallest_share: of the cleaning, see :py:func:`bundle.postprocessing.cleaning.cleaned`.
        smoothing: pixels, see :py:func:`bundle.evaluation.plain_maps.smoothed`.
        sharpest: further arguments of :py:func:`plain_at_sharpest_edge`.
    """
    smooth, clean = partial(smoothed, sigma=smoothing), partial(cleaned, smallest_share=smallest_share)

    def whole(case: Case) -> np.ndarray:
        return median_of_neighbours(smooth(robust_normalised(case)))

    at_edge = partial(plain_at_sharpest_edge, sigma=smoothing, smallest_share=smallest_share, **sharpest)
    return [
        Method("plain: percentile-normalised", percentile_normalised),
        Method("plain: percentile-normalised, smoothed", lambda case: smooth(percentile_normalised(case))),
        Method("plain: (x - median) / IQR", robust_normalised),
        Method("plain: (x - median) / IQR, smoothed", lambda case: smooth(robust_normalised(case))),
        Method(
            "plain: equalised, 3D median, small components removed",
            equalised,
            partial(without_small, share=smallest_share),
        ),
        Method("plain: (x - median) / IQR, smoothed, 3D median, cleaned", whole, clean),
        Method(
            "plain: the same with the median of each slice",
            lambda case: median_of_neighbours(smooth(robust_by_slice(case))),
            clean,
        ),
        Method("plain: of the whole volume, dark in the place of bright", lambda case: -whole(case), clean),
        Method("plain: of the whole volume, dark or bright", lambda case: abs(whole(case)), clean),
        Method("plain: of each slice, at the sharpest edge of each volume, cleaned", at_edge),
    ]


REFINED = (
    Method("IterMask2: initial network, one-shot error", lambda case: case.initial_error, painted=True),
    Method("IterMask2: final mask of the refinement", lambda case: case.refined, painted=True),
    Method("IterMask2: last error map", lambda case: case.error, painted=True),
)


def judged_methods(smallest_share: float) -> list[Method]:
    """The masks of a model with a judge; ``smallest_share`` as in :py:func:`plain_methods`."""
    clean = partial(cleaned, smallest_share=smallest_share)
    largest = "IterMask2, judged: largest component of the mask as delivered"
    return [
        Method("IterMask2, judged: mask as delivered", lambda case: case.mask, painted=True),
        Method("IterMask2, judged: score, cleaned", judged_score, clean, painted=True),
        Method(largest, lambda case: case.mask, largest_component, painted=True),
    ]
