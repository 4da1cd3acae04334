# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The region that belongs to a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice, slice]

_ALL_AROUND = np.ones((3, 3, 3))


def box_around(voxel: Sequence[int], shape: Sequence[int], spacing: np.ndarray, reach: float) -> Box:
    """The part of a volume that is not farther from a voxel than ``reach`` millimetres along each axis."""
    margin = (reach / spacing).astype(int)
    first, second, third = (
        slice(max(0, int(at - far)), min(int(size), int(at + far + 1))) for at, far, size in zip(voxel, margin, shape)
    )
    return first, second, third


def distance_from(voxels: Sequence[Sequence[int]], shape: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """Millimetres to the nearest of some voxels."""
    away = np.ones(shape, bool)
    away[tuple(np.asarray(voxels).T)] = False
    return ndimage.distance_transform_edt(away, sampling=spacing)


def octaves(score: np.ndarray, threshold: float, most: float) -> np.ndarray:
    """How often a score is twice its threshold, or half of it; from ``-most`` to ``most``, where it says no more."""
    return np.clip(np.log2(np.maximum(score, 1e-6) / threshold), -most, most)


def _with_crumbs(region: np.ndarray, wrong: np.ndarray, near: np.ndarray, share: float) -> np.ndarray:
    """A region and the small pieces that it leaves of the error: crumbs of what it takes away, holes in what it adds.

    Args:
        region: bool, within ``wrong``.
        wrong: see :py:func:`click_region`.
        near: bool, the shape of ``wrong``; a piece goes along only where the whole of it is near.
        share: of the region; no larger piece goes along.
    """
    pieces, number = ndimage.label(wrong & ~region, _ALL_AROUND)
    if not number:
        return region
    touching = np.bincount(pieces[ndimage.binary_dilation(region, _ALL_AROUND)], minlength=number + 1) > 0
    inside = near.copy()
    for axis in range(near.ndim):
        # what reaches the end of the box may go on behind it
        np.moveaxis(inside, axis, 0)[[0, -1]] = False
    leaves = np.bincount(pieces[~inside], minlength=number + 1) > 0
    small = np.bincount(pieces.ravel(), minlength=number + 1) <= share * region.sum()
    small[0] = False
    return region | (touching & small & ~leaves)[pieces]


def click_region(
    voxel: Sequence[int],
    lesion: bool,
    wrong: np.ndarray,
    unmarked: np.ndarray,
    intensity: np.ndarray,
    score: np.ndarray,
    spacing: np.ndarray,
    rule: Mapping[str, Any],
) -> np.ndarray:
    """How surely each voxel of a box belongs to a click: from 1 at the click, falling smoothly, to 0.

    What belongs to it is connected with it, marked wrongly if the click is right, near, no deeper in what is marked
    wrongly than the click lets expect (who clicks, clicks in the middle), and as much like a lesion as the click in
    intensity and score, or more (a click on a lesion), or less (a click on normal tissue).

    Args:
        voxel: of the click, in the box.
        lesion: what the click says.
        wrong: bool; what is marked otherwise than the click says.
        unmarked: bool; the brain that is not marked without prompts, with which the click is compared.
        intensity: the shape of ``wrong``; higher where a voxel looks more like a lesion; in interquartile ranges.
        score: the shape of ``wrong``; of :py:func:`octaves`.
        spacing: millimetres from voxel to voxel along each axis.
        rule: differences at which nothing belongs to the click any more. In millimetres: ``reach``; ``rim``, so deep
            it always may be, and ``depth`` times the depth of the click more; ``blur`` of the intensity, and ``spot``
            around the click, whose median is its intensity. ``with``, interquartile ranges of intensity in the
            direction of the click; ``score``, octaves of the score against it. For a click on a lesion in ``lesion``,
            for one on normal tissue in ``normal``: ``fall``, millimetres from the click; ``against``, interquartile
            ranges of intensity against its direction, and ``contrast``, that share more of what lies between the click
            and the median of ``unmarked``. And ``crumbs``: pieces that are cut off and no larger than this share of the
            region go with it, as surely as the least sure part of it.

    Returns:
        np.ndarray: float32, the shape of ``wrong``.
    """
    at = tuple(voxel)
    sign = 1.0 if lesion else -1.0
    distance = distance_from([voxel], wrong.shape, spacing)
    smooth = ndimage.gaussian_filter(intensity, rule["blur"] / spacing)
    more = sign * (smooth - np.median(smooth[distance <= rule["spot"]]))
    near = distance <= rule["reach"]
    own = rule["lesion" if lesion else "normal"]
    against = own["against"]
    if (unmarked & near).any():
        against += own["contrast"] * abs(float(np.median(more[unmarked & near])))
    off = np.square(distance / own["fall"])
    off += np.square(more / np.where(more > 0, rule["with"], against))
    off += np.square(np.minimum(sign * (score - score[at]), 0) / rule["score"])
    if not wrong.all():
        # where nothing is marked rightly there is nothing to be deep in
        depth = ndimage.distance_transform_edt(wrong, sampling=spacing)
        off += np.square(np.maximum(depth - rule["rim"], 0) / (rule["depth"] * depth[at] + 0.1))
    belongs = (off < 1) & near & wrong
    if not belongs[at]:
        return np.zeros(wrong.shape, np.float32)
    components, _ = ndimage.label(belongs)
    region = components == components[at]
    surely = np.where(region, 1 - off, 0).astype(np.float32)
    crumbs = _with_crumbs(region, wrong, near, rule["crumbs"]) & ~region
    surely[crumbs] = surely[region].min()
    return surely
