# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Lesions that were found, and marks that are right, counted one by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def component_shares(mask: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The components of a mask, and how much of each another mask covers.

    Args:
        mask: bool volume, whose components are 26-connected.
        other: bool volume of the same shape.

    Returns:
        tuple: of each component its size in voxels, and the share of it (0 to 1) that lies in ``other``.
    """
    components, number = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=number + 1)[1:]
    covered = np.bincount(components.ravel(), weights=other.ravel(), minlength=number + 1)[1:]
    return sizes, covered / np.maximum(sizes, 1)


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
    _, shares = component_shares(mask, other)
    return int((shares >= share).sum()), len(shares)
