# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The region that belongs to a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

Box = tuple[slice, slice, slice]


def box_around(voxels: Sequence[Sequence[int]], shape: Sequence[int], spacing: np.ndarray, reach: float) -> Box:
    """The part of a volume that is not farther from some voxels than ``reach`` millimetres along each axis."""
    at = np.asarray(voxels)
    margin = (reach / spacing).astype(int)
    starts, ends = at.min(axis=0) - margin, at.max(axis=0) + margin + 1
    first, second, third = (slice(max(0, int(a)), min(int(n), int(b))) for a, b, n in zip(starts, ends, shape))
    return first, second, third


def influence(
    voxels: Sequence[Sequence[int]], image: np.ndarray, spacing: np.ndarray, scale: float, rule: Mapping[str, float]
) -> np.ndarray:
    """How much each voxel of a box belongs to a click: 1 at the click, falling off smoothly.

    It falls with the way from the click, on which a change of intensity counts as a detour, so that it stops at edges;
    and with the difference of intensity from the click.

    Args:
        voxels: of the click, in the box.
        image: intensities in the box.
        spacing: millimetres from voxel to voxel along each axis.
        scale: interquartile range of the brain's intensities.
        rule: ``reach`` in millimetres, at which it is 0; ``way`` in millimetres, at which it has fallen to a half;
            ``edge``, millimetres of detour for a step of one interquartile range per millimetre; ``likeness``,
            interquartile ranges of difference, at which it has fallen to a half; ``blur`` in millimetres.

    Returns:
        np.ndarray: float32, the shape of ``image``, 0 to 1.
    """
    seeds = tuple(np.asarray(voxels).T)
    smooth = ndimage.gaussian_filter(image / scale, rule["blur"] / spacing)
    slopes = [np.gradient(smooth, spacing[axis], axis=axis) for axis in range(3) if image.shape[axis] > 1]
    costs = 1.0 + rule["edge"] * np.linalg.norm(slopes, axis=0)
    way = MCP_Geometric(costs, sampling=tuple(spacing)).find_costs(list(zip(*seeds)))[0]
    off = smooth - np.median(smooth[seeds])
    weight = np.exp2(-np.square(way / rule["way"]) - np.square(off / rule["likeness"]))
    away = np.ones(image.shape, bool)
    away[seeds] = False
    distance = ndimage.distance_transform_edt(away, sampling=spacing)
    return np.where(distance <= rule["reach"], weight, 0.0).astype(np.float32)
