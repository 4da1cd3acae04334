# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Lesions that were found, and marks that are right, counted one by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def covered_components(mask: np.ndarray, other: np.ndarray, share: float) -> tuple[int, int]:
    """Count the components of a mask that another mask covers.

    With the expert's mask first it counts lesions that were found, with the model's mask first marks that are right.

    Args:
        mask: bool volume, whose components are 26-connected.
        other: bool volume of the same shape.
        share: a component is covered when at least this share of its voxels (0 to 1) lies in ``other``.

    Returns:
        tuple: the number of covered components, and of all.
    """
    components, number = ndimage.label(mask, np.ones((3, 3, 3)))
    covered = ndimage.mean(other, components, range(1, number + 1)) if number else np.zeros(0)
    return int((np.asarray(covered) >= share).sum()), number
