# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Means and medians over the cases of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bundle.evaluation.distances import DISTANCES
from bundle.evaluation.overlap import best_threshold, mask_scores, ratio

# lesion areas in pixels of the model's 128 x 128 grid (paper section 3.1)
SIZES = {"small": (1, 200), "medium": (200, 800), "large": (800, float("inf"))}


# volumes of lesions, in ml
LESION_SIZES = {"under_0.1_ml": (0, 0.1), "0.1_to_1_ml": (0.1, 1), "1_ml_and_more": (1, float("inf"))}

SCORES = ("dice", "sensitivity", "precision")


def mean_and_median(values: Iterable[float]) -> dict[str, float | int | None]:
    """Mean, median and number of what is finite; None where nothing is."""
    finite = np.asarray([value for value in values if np.isfinite(value)])
    if not len(finite):
        return {"mean": None, "median": None, "number": 0}
    return {
        "mean": round(float(finite.mean()), 4),
        "median": round(float(np.median(finite)), 4),
        "number": len(finite),
    }


def by_size(dice: Iterable[float], pixels: Iterable[float]) -> dict[str, dict]:
    """Dice of small, medium and large lesions, by the lesion area of each slice in pixels of the model's grid."""
    return {
        name: mean_and_median([value for value, size in zip(dice, pixels) if low <= size < high])
        for name, (low, high) in SIZES.items()
    }


def by_disease(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict]:
    """Volume scores of the cases of each disease, as the datalist names it; empty where it names none."""
    diseases = sorted({case["disease"] for case in cases if case["disease"]})
    members = {disease: [case["scores"] for case in cases if case["disease"] == disease] for disease in diseases}
    return {
        disease: {
            "number_of_cases": len(scores),
            **{name: mean_and_median([score[name] for score in scores]) for name in SCORES},
        }
        for disease, scores in members.items()
    }


def lesions_one_by_one(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of all lesions that were found, in all and by size, and share of all marked components that are right.

    Counted over all volumes together; NaN where there is nothing to count.
    """
    lesions = [lesion for case in cases for lesion in case["lesion_scores"]]

    def found(low: float, high: float) -> dict[str, float]:
        chosen = [lesion["found"] for lesion in lesions if low <= lesion["lesion_ml"] < high]
        return {"lesions": len(chosen), "found": round(ratio(sum(chosen), len(chosen)), 4)}

    components, right = (sum(case["scores"][name] for case in cases) for name in ("components", "components_right"))
    return {
        **found(0, math.inf),
        "by_size": {name: found(*limits) for name, limits in LESION_SIZES.items()},
        "components": components,
        "right": round(ratio(right, components), 4),
    }


def volume_agreement(lesion_ml: np.ndarray, mask_ml: np.ndarray) -> dict[str, float]:
    """How far the volumes of masks are from the experts' (Bland and Altman 1986), in ml.

    Args:
        lesion_ml: by the experts, one per volume.
        mask_ml: by the masks.

    Returns:
        dict: ``bias``, the mean of mask less expert, and the limits ``lower`` and ``upper`` between which 95 % of the
        differences lie if they are normal; NaN limits of a single volume.
    """
    difference = np.asarray(mask_ml) - np.asarray(lesion_ml)
    bias = float(difference.mean())
    spread = 1.96 * float(difference.std(ddof=1)) if len(difference) > 1 else math.nan
    return {"bias": round(bias, 2), "lower": round(bias - spread, 2), "upper": round(bias + spread, 2)}


def label_free(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of the masks as delivered: whole volumes, and their slices with the largest lesion."""
    scores = [case["scores"] for case in cases]
    pixels = [score["largest_slice_pixels_at_128"] for score in scores]
    slices = [row for case in cases for row in case["slice_scores"] if row["lesion_pixels_at_128"] > 0]
    diseases = by_disease(cases)
    return {
        "volume": {name: mean_and_median([score[name] for score in scores]) for name in SCORES},
        "outline": {name: mean_and_median([score[name] for score in scores]) for name in DISTANCES},
        "mask_less_lesion_ml": volume_agreement(
            *(np.array([score[name] for score in scores]) for name in ("lesion_ml", "mask_ml"))
        ),
        "lesions_one_by_one": lesions_one_by_one(cases),
        **({"volume_by_disease": diseases} if diseases else {}),
        "largest_slice": {
            **{name: mean_and_median([score[f"largest_slice_{name}"] for score in scores]) for name in SCORES},
            "dice_by_size": by_size([score["largest_slice_dice"] for score in scores], pixels),
        },
        "all_lesion_slices": {
            "dice_by_size": by_size([row["dice"] for row in slices], [row["lesion_pixels_at_128"] for row in slices])
        },
        "false_positive_ml_on_lesion_free_slices": mean_and_median(
            [score["false_positive_ml_on_lesion_free_slices"] for score in scores]
        ),
        "healthy_ssim": mean_and_median([case["reconstruction_scores"]["healthy_ssim"] for case in cases]),
        "largest_slice_healthy_ssim": mean_and_median(
            [case["reconstruction_scores"]["largest_slice_healthy_ssim"] for case in cases]
        ),
    }


def _maps(cases: Sequence[Mapping[str, Any]], key: str, scope: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values of a map and lesion (bool) of one case after the other: of the volume, or of the largest slice."""
    for case in cases:
        voxels = case["voxels"]()
        chosen = voxels["in_largest_slice"] if scope == "largest_slice" else slice(None)
        yield voxels[key][chosen], voxels["lesion"][chosen]


def _range(cases: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float]:
    """Lowest and highest value of a map in all cases."""
    ends = [(values.min(), values.max()) for values, _ in _maps(cases, key, "volume")]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def chosen_with_labels(cases: Sequence[Mapping[str, Any]], key: str, thresholds: np.ndarray) -> dict[str, Any]:
    """Scores of a map at the one threshold that is best for these very labels, of volumes and of largest slices.

    Args:
        cases: whose ``voxels()`` are those of :py:class:`bundle.evaluation.ReconstructionScoresd`.
        key: the map among the ``voxels``: "error" or "intensity".
        thresholds: to choose from, ascending.
    """
    result: dict[str, Any] = {}
    for scope in ("volume", "largest_slice"):
        threshold, dice = best_threshold(_maps(cases, key, scope), thresholds)
        scores = []
        for values, lesion in _maps(cases, key, scope):
            scores.append(mask_scores(values > threshold, lesion))
        pixels = [case["scores"]["largest_slice_pixels_at_128"] for case in cases]
        result[scope] = {
            "threshold": threshold,
            **{name: mean_and_median([score[name] for score in scores]) for name in SCORES},
            "dice_by_size": by_size(dice, pixels),
        }
    return result


def chosen_for_error_and_intensity(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the error map and the plain intensity reach with the threshold that suits the test labels best."""
    low, high = _range(cases, "error")
    return {
        "grid": "the model's",
        # the paper's 100 thresholds of the error, min-max normalised over the whole test set
        "error_map": chosen_with_labels(cases, "error", low + (high - low) * np.arange(100) / 10_000),
        "plain_intensity": chosen_with_labels(cases, "intensity", np.linspace(*_range(cases, "intensity"), 500)),
    }
