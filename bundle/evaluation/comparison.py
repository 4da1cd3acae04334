# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The rows of a comparison: several methods on the same cases, each with its threshold and where that came from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from bundle.evaluation.cases import Case
from bundle.evaluation.components import covered_components
from bundle.evaluation.intervals import bootstrap_interval
from bundle.evaluation.methods import Method
from bundle.evaluation.overlap import dice_by_threshold, mask_scores, ratio

NO_LABELS, VALIDATION_LABELS, TEST_LABELS = "no labels", "validation labels", "test labels"

GAIN = "gain over the best plain threshold"


class Choice(NamedTuple):
    """How methods are counted, and which thresholds labels may choose from: numbers of ``configs/comparison.json``.

    Attributes:
        found_share: a lesion is found, and a marked component right, when so much of it is marked, or lesion.
        most_marked: the lowest threshold marks this share of the brain.
        least_marked: the highest threshold marks this share.
        thresholds: between these, evenly on a logarithmic scale of the share.
        every_cleaned: of cleaned maps one in so many, because cleaning takes long.
        interval_repeats: samples that are drawn for an interval, see
            :py:func:`bundle.evaluation.intervals.bootstrap_interval`.
        interval_seed: of these draws.
    """

    found_share: float
    most_marked: float
    least_marked: float
    thresholds: int
    every_cleaned: int
    interval_repeats: int
    interval_seed: int


def dice_at_thresholds(values: np.ndarray, case: Case, thresholds: np.ndarray, method: Method) -> np.ndarray:
    """Volume Dice of a method's map at each of the ascending ``thresholds``, each mask cleaned as the method says."""
    if method.clean is None:
        # lesion voxels outside the brain mask count as missed
        outside = int(case.label[~case.brain].sum())
        return dice_by_threshold(values[case.brain], case.label[case.brain], thresholds, missed=outside)
    return np.array([mask_scores(method.mask(values, threshold, case), case.label)["dice"] for threshold in thresholds])


def case_scores(mask: np.ndarray, case: Case, found_share: float) -> dict[str, float]:
    """All that a row averages or adds up, of one mask; ``found_share`` as in :py:class:`Choice`."""
    size = case.label.sum(axis=(0, 1))
    z = int(size.argmax())
    lesion_free = size == 0
    found, lesions = covered_components(case.label, mask, found_share)
    right, components = covered_components(mask, case.label, found_share)
    return {
        **mask_scores(mask, case.label),
        "largest_slice_dice": mask_scores(mask[..., z], case.label[..., z])["dice"],
        "lesions_found": found,
        "lesions": lesions,
        "components_right": right,
        "components": components,
        "false_positive_share": float(mask[..., lesion_free].sum() / max(1, case.brain[..., lesion_free].sum())),
    }


def mean_precision(cases: Sequence[Case], maps: Sequence[np.ndarray]) -> float:
    """Area under the precision-recall curve within the brain, mean over cases with a lesion."""
    diseased = [(values[case.brain], case.label[case.brain]) for values, case in zip(maps, cases) if case.label.any()]
    return float(np.mean([average_precision_score(label, values) for values, label in diseased]))


def method_row(
    method: Method,
    source: str,
    threshold: float | None,
    cases: Sequence[Case],
    maps: Sequence[np.ndarray],
    auprc: float | None,
    choice: Choice,
    chosen_dice: float | None = None,
) -> dict[str, Any]:
    """One row of the table: a method at one threshold.

    Args:
        method: whose name and cleaning are used.
        source: of the threshold: ``NO_LABELS``, ``VALIDATION_LABELS`` or ``TEST_LABELS``.
        threshold: None where the maps are masks.
        cases: that are scored.
        maps: of the cases.
        auprc: area under the precision-recall curve of the maps.
        choice: how cases are counted.
        chosen_dice: mean Dice of the cases whose labels chose the threshold.
    """
    scores = [
        case_scores(method.mask(values, threshold, case), case, choice.found_share) for values, case in zip(maps, cases)
    ]
    columns = {name: [score[name] for score in scores] for name in scores[0]}
    low, high = bootstrap_interval(columns["dice"], choice.interval_repeats, choice.interval_seed)
    return {
        "method": method.name,
        "threshold from": source,
        "threshold": threshold,
        "Dice where it was chosen": chosen_dice,
        "Dice mean": float(np.nanmean(columns["dice"])),
        "Dice 95 % interval": f"{low:.3f} to {high:.3f}",
        "Dice median": float(np.nanmedian(columns["dice"])),
        "largest slice Dice mean": float(np.nanmean(columns["largest_slice_dice"])),
        "largest slice Dice median": float(np.nanmedian(columns["largest_slice_dice"])),
        "sensitivity": float(np.nanmean(columns["sensitivity"])),
        "precision": float(np.nanmean(columns["precision"])),
        "AUPRC": auprc,
        "lesions found": ratio(sum(columns["lesions_found"]), sum(columns["lesions"])),
        "components right": ratio(sum(columns["components_right"]), sum(columns["components"])),
        "false positives on lesion-free slices": float(np.mean(columns["false_positive_share"])),
        "healthy SSIM": float(np.mean([case.healthy_ssim for case in cases])) if method.painted else None,
        "seconds": float(np.mean([case.seconds for case in cases])) if method.painted else None,
        "dice": columns["dice"],
    }


def compare(
    validation: Sequence[Case],
    test: Sequence[Case],
    methods: Sequence[Method],
    choice: Choice,
    label_free: bool = False,
) -> list[dict[str, Any]]:
    """The rows of the table: each map once with the threshold of the validation labels, once with the test labels'.

    Args:
        validation: cases with labels by which thresholds are chosen; none to leave those rows out.
        test: cases that are scored. Those without a lesion have no Dice and count for false positives alone.
        methods: to compare.
        choice: how they are counted, and which thresholds there are.
        label_free: leave out all thresholds that labels choose, and so every method that needs one.

    Returns:
        list: one dictionary per row; ``dice`` holds the volume Dice of every test case.
    """
    rows = []
    for method in methods:
        scored = [method.values(case) for case in test]
        if scored[0].dtype == bool:
            rows.append(method_row(method, NO_LABELS, None, test, scored, None, choice))
            continue
        if label_free:
            continue
        chosen = [method.values(case) for case in validation] if validation else scored
        pooled = np.concatenate([values[case.brain] for values, case in zip(chosen, validation or test)])
        marked = np.geomspace(choice.most_marked, choice.least_marked, choice.thresholds)
        thresholds = np.unique(np.quantile(pooled, 1 - marked))
        if method.clean is not None:
            thresholds = thresholds[:: choice.every_cleaned]
        auprc = mean_precision(test, scored)
        for source, cases, maps in ((VALIDATION_LABELS, validation, chosen), (TEST_LABELS, test, scored)):
            if not any(case.label.any() for case in cases):
                continue
            table = np.stack([dice_at_thresholds(v, case, thresholds, method) for v, case in zip(maps, cases)])
            means = np.nanmean(table, axis=0)
            best = float(thresholds[int(means.argmax())])
            rows.append(method_row(method, source, best, test, scored, auprc, choice, float(means.max())))
    return rows


def add_gains(rows: Sequence[dict[str, Any]], plain: Collection[str], choice: Choice) -> None:
    """Add to each row what it gains in Dice, paired by case, over the best plain threshold.

    Validation labels say which one is the best, and choose its threshold. Without a row of theirs the test labels do,
    which is the most that a plain threshold could reach.

    Args:
        rows: of :py:func:`compare`, all of the same test cases.
        plain: names of the methods that are plain thresholds; where none has a row, nothing is added.
        choice: how intervals are drawn.
    """
    for source in (VALIDATION_LABELS, TEST_LABELS):
        known = [row for row in rows if row["method"] in plain and row["threshold from"] == source]
        if known:
            break
    else:
        return
    reference = max(known, key=lambda row: row["Dice where it was chosen"])["dice"]
    for row in rows:
        gains = np.subtract(row["dice"], reference)
        low, high = bootstrap_interval(gains, choice.interval_repeats, choice.interval_seed)
        row[GAIN] = f"{np.nanmean(gains):+.3f} ({low:+.3f} to {high:+.3f})"
