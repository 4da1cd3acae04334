# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A robot that clicks as a clinician would who knows the truth: in the middle of the largest error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Click(NamedTuple):
    """A click of the robot.

    Attributes:
        lesion: True where a lesion is missing, False where something normal is marked.
        voxel: of the scan.
    """

    lesion: bool
    voxel: tuple[int, int, int]


class _Error(NamedTuple):
    """A component of an error (bool), the first voxel of its box, and how large it is."""

    voxels: np.ndarray
    first: np.ndarray
    size: int


def _largest(error: np.ndarray) -> _Error | None:
    """The largest component (26-connected) of a mask; None where it is empty."""
    whole = ndimage.find_objects(error.astype(np.uint8))
    if not whole:
        return None
    labels, _ = ndimage.label(error[whole[0]], np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    number = int(sizes.argmax())
    box = ndimage.find_objects(labels)[number - 1]
    first = np.array([outer.start + inner.start for outer, inner in zip(whole[0], box)])
    return _Error(labels[box] == number, first, int(sizes[number]))


def next_click(
    mask: np.ndarray, truth: np.ndarray, spacing: np.ndarray, jitter: int, random: np.random.Generator
) -> Click | None:
    """Where the robot clicks next: the point of the largest error that lies deepest in it, and then a little beside.

    Args:
        mask: bool.
        truth: bool, the shape of ``mask``.
        spacing: millimetres from voxel to voxel along each axis.
        jitter: the click lies up to so many voxels (drawn from 0 on) from that point along each axis, still in the
            error.
        random: that draws.

    Returns:
        Click: None where nothing is wrong.
    """
    missed, wrong = _largest(truth & ~mask), _largest(mask & ~truth)
    if missed is None and wrong is None:
        return None
    lesion = wrong is None or (missed is not None and missed.size >= wrong.size)
    error = missed if lesion else wrong
    assert error is not None
    part = np.pad(error.voxels, 1)
    depth = ndimage.distance_transform_edt(part, sampling=spacing)
    deepest = np.unravel_index(depth.argmax(), part.shape)
    voxels = np.argwhere(part)
    near = voxels[np.abs(voxels - deepest).max(axis=1) <= random.integers(jitter + 1)]
    first, second, third = near[random.integers(len(near))] - 1 + error.first
    return Click(lesion, (int(first), int(second), int(third)))
