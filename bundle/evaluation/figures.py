# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The figures of a results page: curves of a training, agreement with experts, the best and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.cases.case import CaseFolder
from bundle.errors import InputError
from bundle.evaluation.cases import Case
from bundle.evaluation.comparison import dice_at_thresholds
from bundle.evaluation.methods import Method, judged_score
from bundle.evaluation.overlap import mask_scores
from bundle.evaluation.summary import volume_agreement
from bundle.evaluation.tables import read_scores
from bundle.report.pictures import montage, slice_pictures
from bundle.report.shown import read_shown

ACCENT, SOFT = "#c9184a", "#5c6775"


def _axes(figure: Figure, rows: int, columns: int, index: int, **settings: Any) -> Axes:
    axes = figure.add_subplot(rows, columns, index)
    axes.set(**settings)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def training_curves(runs: Sequence[Path]) -> Figure:
    """Every scalar that the trainings have written for TensorBoard, one panel each.

    Args:
        runs: output folders of trainings, one row of panels each.

    Raises:
        InputError: when a folder has no TensorBoard events.
    """
    scalars = []
    for run in runs:
        events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
        names = events.Tags()["scalars"]
        if not names:
            raise InputError(f"{run}: no TensorBoard events; give the output folder of a training.")
        scalars.append({name: events.Scalars(name) for name in names})
    columns = max(len(names) for names in scalars)
    figure = Figure(figsize=(3.2 * columns, 2.6 * len(scalars)), dpi=110, layout="constrained")
    for row, by_name in enumerate(scalars):
        for column, (name, points) in enumerate(by_name.items()):
            steps, values = [point.step for point in points], [point.value for point in points]
            marker = "." if len(points) < 60 else ""
            axes = _axes(figure, len(scalars), columns, row * columns + column + 1, title=name, xlabel="step or epoch")
            axes.plot(steps, values, color=ACCENT, linewidth=1, marker=marker)
            if min(values) > 0 and max(values) > 20 * min(values):
                axes.set_yscale("log")
    return figure


def calibration_curve(cases: Sequence[Case], chosen: float, margin: int) -> Figure:
    """Dice at the threshold that each percentile of the lesion scores on lesion-free slices gives, if all volumes share
    it; and of the masks as delivered, at each volume's own threshold.

    Args:
        cases: with the score of a judge.
        chosen: the percentile that is used, as the least threshold of a volume.
        margin: slices beside a slice with a lesion that do not count as lesion-free.
    """
    healthy = []
    for case in cases:
        free = ~ndimage.binary_dilation(case.label.any(axis=(0, 1)), iterations=margin)
        healthy.append(judged_score(case)[..., free][case.brain[..., free]])
    percentiles = np.linspace(95, 99.9, 50)
    thresholds = np.percentile(np.concatenate(healthy), percentiles)
    uncleaned = Method("score", judged_score)
    dice = [dice_at_thresholds(judged_score(case), case, thresholds, uncleaned) for case in cases]
    figure = Figure(figsize=(5, 3.4), dpi=110, layout="constrained")
    axes = _axes(figure, 1, 1, 1, xlabel="percentile of the score on lesion-free slices", ylabel="mean volume Dice")
    axes.plot(percentiles, np.nanmean(dice, axis=0), color=SOFT, label="one threshold for all volumes")
    own = [mask_scores(case.mask, case.label)["dice"] for case in cases]
    axes.axhline(float(np.nanmean(own)), color=ACCENT, label="each volume's own, above the dashed one")
    axes.legend(frameon=False, loc="lower left")
    axes.axvline(chosen, color=SOFT, linestyle="--", linewidth=1)
    axes.set_ylim(0, 1)
    return figure


def agreement_figure(scores: pd.DataFrame) -> Figure:
    """Dice against lesion size, and the difference of the volumes against their mean (Bland and Altman 1986).

    Args:
        scores: of :py:func:`bundle.evaluation.read_scores`.
    """
    truth, found, dice = (scores[name].to_numpy() for name in ("lesion_ml", "mask_ml", "dice"))
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    axes = _axes(figure, 1, 2, 1, xlabel="lesion by the expert (ml)", ylabel="volume Dice", xscale="log", ylim=(0, 1))
    axes.scatter(truth, dice, color=ACCENT, s=18)
    axes = _axes(figure, 1, 2, 2, xlabel="mean of model and expert (ml)", ylabel="model - expert (ml)")
    axes.scatter((found + truth) / 2, found - truth, color=ACCENT, s=18)
    agreed = volume_agreement(truth, found)
    for name, style in (("bias", "-"), ("lower", "--"), ("upper", "--")):
        axes.axhline(agreed[name], color=SOFT, linestyle=style, linewidth=1)
    bias, lower, upper = agreed.values()
    axes.set_title(f"bias {bias:.1f} ml, 95 % limits {lower:.1f} to {upper:.1f} ml", fontsize=10)
    return figure


def _largest_slice(folder: Path) -> list[Image.Image]:
    """Scan, outlines, error and reconstruction of the slice with the largest lesion of a case."""
    case = CaseFolder(folder)
    label = case.label()
    if label is None:
        raise InputError(f"{folder}: the run knew no label of this case; give the output folder of an evaluation.")
    number = int(label.sum(axis=(0, 1)).argmax())
    return list(slice_pictures(read_shown(case, [number]), number).values())


def examples(folder: Path, number: int) -> Image.Image:
    """The cases with the highest Dice, and below them those with the lowest; a row each, as in the report.

    Cases without a lesion have no Dice and are left out.

    Args:
        folder: output folder of an evaluation.
        number: of cases of either kind.
    """
    scored = read_scores(folder).dropna(subset="dice")
    names = scored.sort_values("dice", ascending=False, kind="stable")["case"].tolist()
    chosen = dict.fromkeys([*names[:number], *names[-number:]])
    return montage([_largest_slice(folder / name) for name in chosen])
