# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What pictures of a case are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bundle.cases.case import CaseFolder


class Volumes(NamedTuple):
    """The volumes of a case on one grid, axes towards left, posterior, superior; ``label`` may be None."""

    image: np.ndarray
    brain: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    reconstruction: np.ndarray
    iterations: np.ndarray
    label: np.ndarray | None
    spacing: Sequence[float]


def read_volumes(case: CaseFolder) -> Volumes:
    """The scan and the results of a case, with the expert's mask where the run knew it."""
    scan = case.scan()
    image = np.asarray(scan[0])
    results = {name: case.volume(name) for name in ("mask", "error", "reconstruction", "iterations")}
    spacing = [float(mm) for mm in scan.pixdim]
    return Volumes(image, case.brain(image), label=case.label(), spacing=spacing, **results)
