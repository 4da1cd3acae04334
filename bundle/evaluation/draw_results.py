# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The figures of docs/history.md, from the output folders of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.evaluation.cases import read_cases
from bundle.evaluation.figures import agreement_figure, calibration_curve, examples, training_curves
from bundle.evaluation.tables import read_scores
from bundle.files import write_whole
from bundle.report.pictures import encoded, figure_png


def draw_results(
    evaluation: str,
    validation: str,
    simulated: str,
    trainings: Sequence[str],
    percentile: float,
    margin: int,
    number: int,
    output: str = "docs/images",
    curves: str = "training",
) -> None:
    """Write ``agreement.png``, ``calibration.png``, ``examples.png`` and the curves of trainings.

    Args:
        evaluation: output folder of an evaluation, for the agreement with the expert; no image of it is drawn.
        validation: output folder of an evaluation of the validation cases, for the curve of the judge's calibration.
        simulated: output folder of an evaluation of simulated patients, of which examples are drawn.
        trainings: output folders of the trainings.
        percentile: of the scores on lesion-free slices that is used, as the least threshold of a volume.
        margin: slices beside one with a lesion that do not count as lesion-free.
        number: of the best examples, and of the worst.
        output: folder for the figures.
        curves: name of the figure of the trainings.
    """
    folder = Path(output)
    figures = {
        "agreement": agreement_figure(read_scores(Path(evaluation))),
        "calibration": calibration_curve(read_cases(validation), percentile, margin),
        curves: training_curves([Path(training) for training in trainings]),
    }
    for name, figure in figures.items():
        write_whole(folder / f"{name}.png", figure_png(figure))
    write_whole(folder / "examples.png", encoded(examples(Path(simulated), number), "PNG"))
