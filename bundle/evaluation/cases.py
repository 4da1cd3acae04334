# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The cases of an evaluation, read in the grid of the scan."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.cases.case import CaseFolder
from bundle.errors import InputError
from bundle.evaluation.tables import read_scores


class Case(NamedTuple):
    """A case of an evaluation in the scan's own grid, axes towards left, posterior, superior."""

    name: str
    image: np.ndarray
    brain: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    initial_error: np.ndarray
    iterations: np.ndarray
    score: np.ndarray | None
    healthy_ssim: float
    seconds: float


def read_cases(folder: str) -> list[Case]:
    """Read what an evaluation has written.

    Args:
        folder: its output folder.

    Raises:
        InputError: when there is no evaluation.
    """
    cases = []
    for row in read_scores(Path(folder)):
        case = CaseFolder(Path(folder) / row["case"])
        label = case.label()
        if label is None:
            raise InputError(
                f"{case.file('statistics')}: not of an evaluation, it names no label; run the evaluation anew."
            )
        image = np.asarray(case.scan()[0])
        volumes = {name: case.volume(name) for name in ("error", "initial_error", "iterations")}
        score = case.volume("score") if case.has("score") else None
        scores = {key: row[key] for key in ("healthy_ssim", "seconds")}
        brain, mask = case.brain(image), case.volume("mask") > 0
        cases.append(Case(case.name, image, brain, label, mask, score=score, **volumes, **scores))
    return cases
