# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Holes and small components of a lesion mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from bundle.preprocessing.box import box_of


def around(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box around a mask, and ``margin`` voxels more on all sides as far as the volume reaches; the whole
    volume where the mask is empty.

    Args:
        mask: bool.
        margin: in voxels.
    """
    box = box_of(mask)
    if not box:
        return tuple(slice(None) for _ in mask.shape)
    return tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)


def _chosen(mask: np.ndarray, choose: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Some of the components (26-connected) of a mask.

    Args:
        mask: bool, three axes.
        choose: from the component of each marked voxel and the sizes of all components to which of them stay.
    """
    # most voxels are in no mask
    box = around(mask)
    labels, number = ndimage.label(mask[box], np.ones((3, 3, 3)))
    marked = labels[mask[box]]
    kept = np.zeros_like(mask)
    kept[mask] = choose(marked, np.bincount(marked, minlength=number + 1))[marked]
    return kept


def without_small(mask: np.ndarray, share: float, whole_size: float = 0.0) -> np.ndarray:
    """Drop the components (26-connected) that are smaller than ``share`` of the largest one.

    A share and no size, so that where all lesions are small all of them stay.

    Args:
        mask: bool, three axes.
        share: 0 to 1.
        whole_size: voxels of the largest component from which the whole share is asked; below it less is, in
            proportion: beside a plaque others may be much smaller, beside a tumour what is small is no part of it.

    Returns:
        np.ndarray: bool, the shape of ``mask``.
    """

    def large(_: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        largest = sizes.max()
        return sizes >= share * largest * (largest / max(largest, whole_size, 1))

    return _chosen(mask, large)


def touching(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The components (26-connected) of a mask that have a voxel in common with another one.

    Args:
        mask: bool, three axes.
        other: bool, the shape of ``mask``.
    """
    common = other[mask]
    return _chosen(mask, lambda marked, sizes: np.bincount(marked[common], minlength=len(sizes)) > 0)


def with_holes_filled(mask: np.ndarray) -> np.ndarray:
    """Mark what a lesion encloses in an axial slice, such as a dark cyst in a bright tumour.

    Args:
        mask: bool, slices along the last axis.
    """
    filled, box = mask.copy(), around(mask)
    # what hangs together with the border is outside; SciPy's binary_fill_holes grows into it step by step
    outside = np.pad(~mask[box], ((1, 1), (1, 1), (0, 0)), constant_values=True)
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[..., 1] = ndimage.generate_binary_structure(2, 1)
    parts, number = ndimage.label(outside, in_plane)
    at_border = np.zeros(number + 1, bool)
    at_border[parts[0, 0]] = True
    filled[box] = ~at_border[parts[1:-1, 1:-1]]
    return filled


def cleaned(mask: np.ndarray, smallest_share: float) -> np.ndarray:
    """A mask with its holes filled, and then without small components."""
    return without_small(with_holes_filled(mask), smallest_share)


def _asked(sizes: np.ndarray, of_small: float, whole_size: float) -> np.ndarray:
    """What components of so many voxels must score: ``of_small`` up to ``whole_size``; of larger ones less is asked, by
    the cube root of their size: of one eight times as large a half."""
    return of_small * np.minimum(1, whole_size / np.maximum(sizes, 1)) ** (1 / 3)


def with_high_peak(mask: np.ndarray, score: np.ndarray, lowest_peak: float, whole_size: float) -> np.ndarray:
    """Drop the components (26-connected) that score nowhere high enough.

    What is small is a lesion only when it scores high; what is large speaks by its size too.

    Args:
        mask: bool, three axes.
        score: lesion score, the shape of ``mask``.
        lowest_peak: a component stays when its highest score is at least this.
        whole_size: voxels up to which that is so; of larger ones less is asked.

    Returns:
        np.ndarray: bool, the shape of ``mask``.
    """
    values = score[mask]

    def high(marked: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        peaks = np.zeros(len(sizes), bool)
        peaks[marked[values >= _asked(sizes, lowest_peak, whole_size)[marked]]] = True
        return peaks

    return _chosen(mask, high)


def without_haze(mask: np.ndarray, score: np.ndarray, lowest_mean: float, whole_size: float) -> np.ndarray:
    """Drop the components (26-connected) that score too low on average: a peak in a large faint area is no lesion.

    Args:
        mask: bool, three axes.
        score: lesion score, the shape of ``mask``.
        lowest_mean: a component stays when its mean score is at least this.
        whole_size: voxels up to which that is so; of larger ones less is asked.

    Returns:
        np.ndarray: bool, the shape of ``mask``.
    """
    values = score[mask]

    def bright(marked: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        means = np.bincount(marked, values, minlength=len(sizes)) / np.maximum(sizes, 1)
        return means >= _asked(sizes, lowest_mean, whole_size)

    return _chosen(mask, bright)
