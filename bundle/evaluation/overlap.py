# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Dice, sensitivity and precision, at one threshold and at many."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


def ratio(part: float, whole: float) -> float:
    """One by the other; NaN where there is nothing to divide by."""
    return float(part / whole) if whole else math.nan


def overlap_scores(true_positive: float, false_positive: float, false_negative: float) -> dict[str, float]:
    """Dice, sensitivity and precision from counts; NaN where there is nothing to divide by.

    Where there is no lesion all three are NaN, whatever is marked, as the Dice of MONAI's ``MeanDice`` is: what is
    marked then counts as false positive volume.
    """
    lesion = true_positive + false_negative
    if not lesion:
        return dict.fromkeys(("dice", "sensitivity", "precision"), math.nan)
    return {
        "dice": ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "sensitivity": ratio(true_positive, lesion),
        "precision": ratio(true_positive, true_positive + false_positive),
    }


def mask_scores(mask: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """:py:func:`overlap_scores` of a mask (bool) with the true one."""
    both = int((mask & truth).sum())
    return overlap_scores(both, int(mask.sum()) - both, int(truth.sum()) - both)


def dice_by_threshold(values: np.ndarray, lesion: np.ndarray, thresholds: np.ndarray, missed: int = 0) -> np.ndarray:
    """Dice of ``values > threshold`` against ``lesion`` for each of the ascending thresholds; NaN without a lesion.

    ``missed`` counts lesion voxels that are not among the values and so are never found.
    """
    order = np.argsort(values, kind="stable")
    # lesion voxels among the n largest values, for n from all to none
    remaining = np.concatenate([np.cumsum(lesion[order][::-1])[::-1], [0]])
    first = np.searchsorted(values[order], thresholds, side="right")
    positive = len(values) - first
    size = lesion.sum() + missed
    return 2 * remaining[first] / (positive + size) if size else np.full(len(thresholds), np.nan)


def best_threshold(cases: Iterable[tuple[np.ndarray, np.ndarray]], thresholds: np.ndarray) -> tuple[float, np.ndarray]:
    """The threshold with the best mean Dice over cases with a lesion, and the Dice of every case at it."""
    table = np.stack([dice_by_threshold(values, lesion, thresholds) for values, lesion in cases])
    best = int(np.nanargmax(np.nanmean(table, axis=0)))
    return float(thresholds[best]), table[:, best]
