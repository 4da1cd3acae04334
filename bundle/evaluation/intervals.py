# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How sure a mean over patients is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap


def bootstrap_interval(values: Sequence[float], repeats: int, seed: int) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of what is finite.

    Args:
        values: one a patient; those that are not finite are left out.
        repeats: samples that are drawn.
        seed: of the draws.

    Returns:
        tuple: its ends; NaN without a value, and both that value where there is one only.
    """
    finite = np.asarray([value for value in values if np.isfinite(value)])
    if len(finite) < 2:
        only = float(finite[0]) if len(finite) else math.nan
        return only, only
    interval = bootstrap((finite,), np.mean, n_resamples=repeats, method="percentile", rng=seed).confidence_interval
    return float(interval.low), float(interval.high)
