# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One table of several methods on the same test cases, each with its threshold and where that came from."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score

from bundle.evaluation.baselines import BASELINES, Method, _marked
from bundle.evaluation.cases import Case
from bundle.evaluation.overlap import dice_by_threshold, overlap, share
from bundle.files import write_whole

NO_LABELS, VALIDATION_LABELS, TEST_LABELS = "no labels", "validation labels", "test labels"


# a lesion counts as found, and a marked component as right, when at least this share of it is marked, or lesion
FOUND_SHARE = 0.1


def mask_dice(mask: np.ndarray, case: Case) -> float:
    """Volume Dice of a mask, see :py:func:`bundle.evaluation.overlap`."""
    both = mask & case.label
    return overlap(both.sum(), (mask & ~both).sum(), (case.label & ~both).sum())["dice"]


def volume_dice(values: np.ndarray, case: Case, thresholds: np.ndarray, clean: Callable | None = None) -> np.ndarray:
    """Volume Dice of a map at each of the ascending ``thresholds``, each mask cleaned where ``clean`` is given."""
    if clean is None:
        # lesion voxels outside the brain mask count as missed
        outside = int(case.label[~case.brain].sum())
        return dice_by_threshold(values[case.brain], case.label[case.brain], thresholds, missed=outside)
    return np.array([mask_dice(_marked(values, threshold, case, clean), case) for threshold in thresholds])


def _touched(mask: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """How many components (26-connected) of a mask the other one covers to ``FOUND_SHARE``, and how many there are."""
    components, number = ndimage.label(mask, np.ones((3, 3, 3)))
    covered = ndimage.mean(other, components, range(1, number + 1)) if number else np.zeros(0)
    return int((np.asarray(covered) >= FOUND_SHARE).sum()), number


def _score(mask: np.ndarray, case: Case) -> dict[str, float]:
    both, size = mask & case.label, case.label.sum(axis=(0, 1))
    z = int(size.argmax())
    free = size == 0
    found, number = _touched(case.label, mask)
    right, marked = _touched(mask, case.label)
    volume = overlap(both.sum(), (mask & ~case.label).sum(), (~mask & case.label).sum())
    largest = overlap(both[..., z].sum(), (mask & ~case.label)[..., z].sum(), (~mask & case.label)[..., z].sum())
    return {
        **volume,
        "largest_slice_dice": largest["dice"],
        "lesions_found": found,
        "lesions": number,
        "components_right": right,
        "components": marked,
        "false_positive_share": float(mask[..., free].sum() / max(1, case.brain[..., free].sum())),
    }


def bootstrap_interval(values: Sequence[float], repeats: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of what is finite."""
    finite = np.asarray([value for value in values if np.isfinite(value)])
    if not len(finite):
        return math.nan, math.nan
    draws = np.random.RandomState(seed).randint(len(finite), size=(repeats, len(finite)))
    low, high = np.percentile(finite[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _mean_precision(cases: Sequence[Case], maps: Sequence[np.ndarray]) -> float:
    """Area under the precision-recall curve within the brain, mean over cases with a lesion."""
    diseased = [(values[case.brain], case.label[case.brain]) for values, case in zip(maps, cases) if case.label.any()]
    return float(np.mean([average_precision_score(label, values) for values, label in diseased]))


def _row(
    method: Method,
    source: str,
    threshold: float | None,
    cases: Sequence[Case],
    maps: Sequence[np.ndarray],
    auprc: float | None,
) -> dict[str, Any]:
    masks = []
    for values, case in zip(maps, cases):
        masks.append(_marked(values, threshold, case, method.clean))
    scores = [_score(mask, case) for mask, case in zip(masks, cases)]
    dice = [score["dice"] for score in scores]
    low, high = bootstrap_interval(dice)
    own = "IterMask2" in method.name
    return {
        "method": method.name,
        "threshold from": source,
        "threshold": threshold,
        "Dice mean": float(np.nanmean(dice)),
        "Dice 95 % interval": f"{low:.3f} to {high:.3f}",
        "Dice median": float(np.nanmedian(dice)),
        "largest slice Dice mean": float(np.nanmean([score["largest_slice_dice"] for score in scores])),
        "largest slice Dice median": float(np.nanmedian([score["largest_slice_dice"] for score in scores])),
        "sensitivity": float(np.nanmean([score["sensitivity"] for score in scores])),
        "precision": float(np.nanmean([score["precision"] for score in scores])),
        "AUPRC": auprc,
        "lesions found": share(sum(s["lesions_found"] for s in scores), sum(s["lesions"] for s in scores)),
        "components right": share(sum(s["components_right"] for s in scores), sum(s["components"] for s in scores)),
        "false positives on lesion-free slices": float(np.mean([score["false_positive_share"] for score in scores])),
        "healthy SSIM": float(np.mean([case.healthy_ssim for case in cases])) if own else None,
        "seconds": float(np.mean([case.seconds for case in cases])) if own else None,
        "dice": dice,
    }


def compare(
    validation: Sequence[Case], test: Sequence[Case], methods: Sequence[Method], label_free: bool = False
) -> list[dict]:
    """The rows of the table: each map once with the threshold of the validation labels, once with the test labels'.

    Args:
        validation: cases with labels by which thresholds are chosen; none to leave those rows out.
        test: cases that are scored. Those without a lesion have no Dice and count for false positives alone.
        methods: to compare.
        label_free: leave out all thresholds that labels choose, and so every method that needs one.

    Returns:
        list: one dictionary a row; ``dice`` holds the volume Dice of every test case.
    """
    rows = []
    for method in methods:
        scored = [method.values(case) for case in test]
        if scored[0].dtype == bool:
            rows.append(_row(method, NO_LABELS, None, test, scored, auprc=None))
            continue
        if label_free:
            continue
        chosen = [method.values(case) for case in validation] if validation else scored
        pooled = np.concatenate([values[case.brain] for values, case in zip(chosen, validation or test)])
        thresholds = np.unique(np.quantile(pooled, 1 - np.geomspace(0.3, 0.002, 40)))
        if method.clean is not None:
            # cleaning takes long: a coarser choice
            thresholds = thresholds[::3]
        auprc = _mean_precision(test, scored)
        for source, cases, maps in ((VALIDATION_LABELS, validation, chosen), (TEST_LABELS, test, scored)):
            if not any(case.label.any() for case in cases):
                continue
            table = np.stack([volume_dice(v, case, thresholds, method.clean) for v, case in zip(maps, cases)])
            best = float(thresholds[int(np.nanmean(table, axis=0).argmax())])
            rows.append(_row(method, source, best, test, scored, auprc))
    return rows


def add_gains(rows: Sequence[dict[str, Any]], baselines: Mapping[str, str] = BASELINES) -> None:
    """Add to each row what it gains in Dice, paired by case, over baselines with the best threshold they may have.

    Args:
        rows: of :py:func:`compare`, all of the same test cases.
        baselines: from the names of the new columns to those of methods; of the rows of a method, the first one is
            taken: validation labels where there are any. A method without a row gives no column.
    """
    for column, baseline in baselines.items():
        reference = next((row["dice"] for row in rows if row["method"] == baseline), None)
        if reference is None:
            continue
        for row in rows:
            gains = np.subtract(row["dice"], reference)
            low, high = bootstrap_interval(gains)
            row[column] = f"{np.nanmean(gains):+.3f} ({low:+.3f} to {high:+.3f})"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def write_tables(rows: Sequence[Mapping[str, Any]], names: Sequence[str], output: str) -> str:
    """Write ``comparison.csv``, ``comparison.md`` and ``cases.csv`` (volume Dice by case) into a folder.

    Returns:
        str: the table in Markdown.
    """
    columns = [name for name in rows[0] if name != "dice"]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows]
    table = "\n".join(lines) + "\n"
    folder = Path(output)
    write_whole(folder / "comparison.md", table)
    for file, heading, body in (
        ("comparison.csv", columns, [[_cell(row[name]) for name in columns] for row in rows]),
        (
            "cases.csv",
            ["case", *(f"{row['method']} ({row['threshold from']})" for row in rows)],
            [[name, *(f"{row['dice'][i]:.4f}" for row in rows)] for i, name in enumerate(names)],
        ),
    ):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([heading, *body])
        write_whole(folder / file, text.getvalue())
    return table
