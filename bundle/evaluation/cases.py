# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The cases of an evaluation, read in the grid of the scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.data.volumes import oriented_array, oriented_brain
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
        name = row["case"]
        start = Path(folder) / name / name
        statistics = json.loads(Path(f"{start}_statistics.json").read_text())
        if "label" not in statistics:
            raise InputError(
                f"{start}_statistics.json: not of an evaluation, it names no label; run the evaluation anew."
            )
        image = oriented_array(statistics["image"])
        volumes = {
            key: oriented_array(f"{start}_{key}.nii.gz") for key in ("mask", "error", "initial_error", "iterations")
        }
        volumes["mask"] = volumes["mask"] > 0
        score = Path(f"{start}_score.nii.gz")
        volumes["score"] = oriented_array(score) if score.is_file() else None
        scores = {key: row[key] for key in ("healthy_ssim", "seconds")}
        volumes["brain"], volumes["label"] = oriented_brain(statistics, image), oriented_array(statistics["label"]) > 0
        cases.append(Case(name, image, **volumes, **scores))
    return cases
