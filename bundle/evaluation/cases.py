# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The cases of an evaluation, read in the grid of the scan."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.cases.case import CaseFolder
from bundle.errors import InputError
from bundle.evaluation.tables import read_scores
from bundle.postprocessing.cleaning import around

# voxels around the brain, so many that no filter of a plain map sees the end of the box
MARGIN = 8


class Case(NamedTuple):
    """A case of an evaluation in the scan's own grid, axes towards left, posterior, superior: the box around what is
    brain, lesion or marked, and ``MARGIN`` voxels more.

    Attributes:
        name: of the case.
        image: the scan as it was read.
        brain: bool.
        label: bool, the expert's mask.
        mask: bool, as delivered.
        error: of the last reconstruction, within the brain.
        initial_error: of the initial network's reconstruction.
        refined: bool, what was hidden when the refinement ended.
        score: of the judge; None where the model has no judge.
        healthy_ssim: structural similarity of reconstruction and scan on healthy brain, mean over slices.
        seconds: of the refinement.
        disease: as the datalist names it; empty where it does not.
        scan: absolute path of the image.
    """

    name: str
    image: np.ndarray
    brain: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    initial_error: np.ndarray
    refined: np.ndarray
    score: np.ndarray | None
    healthy_ssim: float
    seconds: float
    disease: str = ""
    scan: str = ""


def read_cases(folder: str) -> list[Case]:
    """Read what an evaluation has written.

    Args:
        folder: its output folder.

    Raises:
        InputError: when there is no evaluation.
    """
    cases = []
    for row in read_scores(Path(folder)).to_dict("records"):
        case = CaseFolder(Path(folder) / row["case"])
        label = case.label()
        if label is None:
            raise InputError(
                f"{case.file('statistics')}: not of an evaluation, it names no label; run the evaluation anew."
            )
        image = np.asarray(case.scan()[0])
        brain, mask = case.brain(image, case.found_brain()), case.volume("mask") > 0
        box = around(brain | label | mask, MARGIN)
        # copies, so that the whole volumes are let go
        cases.append(
            Case(
                name=case.name,
                image=image[box].copy(),
                brain=brain[box].copy(),
                label=label[box].copy(),
                mask=mask[box].copy(),
                error=case.volume("error")[box].copy(),
                initial_error=case.volume("initial_error")[box].copy(),
                refined=case.volume("hidden")[box] > 0,
                score=case.volume("score")[box].copy() if case.has("score") else None,
                healthy_ssim=row["healthy_ssim"],
                seconds=row["seconds"],
                disease=row.get("disease", ""),
                scan=str(Path(case.statistics()["image"]).resolve()),
            )
        )
    return cases
