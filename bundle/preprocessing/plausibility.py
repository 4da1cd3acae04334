# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Whether what is taken for a scan, its brain or its brain mask can be one: array logic, no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.stats import spearmanr


class Limits(NamedTuple):
    """Where a scan or its brain stops being plausible; the configs give the numbers.

    Attributes:
        fewest_voxels: fewer are no brain.
        negative_share: what is below zero weighs at most so much of what is above, else the image is standardised.
        fewest_values: a scan has at least so many different values in the brain, a label map has fewer.
        flat_share: at most so many neighbours along every axis have the same value, in a label map more have.
        tiny_share: more tiny values than this share of the brain are what an interpolation leaves around it.
        tiny: values below this share of the brain's 90th percentile are tiny.
        head_ml: more is no brain, but a head.
        head_mm: longer is no brain, but a head.
        least_structure: neighbours in the brain correlate at least so much; those of noise do not.
        least_contrast: the interquartile range of the brain is at least this share of its median.
        saturated: where more of the brain than this share has the highest value, intensities were cut off.
        jump: neighbours in the brain that differ by more than this share of its range are a jump.
        jump_share: where more than this share of them do so, along every axis, values above a limit began at zero.
        background_share: where more of a volume than this share has its lowest value, that is its background.
        hole_share: where holes in the brain have more than this share of it, something was cut out.
        voxel_mm: shortest and longest edge of a voxel; beyond is said.
        fill: a constant around the brain that is negative and weighs between these shares of the brain's 90th
            percentile is no filling, but a zero that was shifted; that is said.
        tissue: a voxel darker than this share of the 98th percentile shows air, bone or liquid.
        spike: a voxel so many times brighter than the 99th percentile is a spike.
        ring_mm: depths below the surface at which rings begin and end in which a skull is looked for.
        inside_mm: depth from which on the inside of the head counts.
        dark_ring: a ring that is darker than this share of the inside is a skull.
        brain_ml: smallest and largest volume of an adult's brain; beyond is said.
        brain_mm: shortest and longest extent; beyond, the header is wrong.
        mask_grey: voxels of middle values of a brain mask are at most this share of its bright ones.
        mask_flat: at most so many neighbours of middle values have the same one; in a label map more have.
        mask_edge: at most this share of the volume's edges is in the brain, in an inverse mask more is.
        mask_dark: at most this share of the mask shows no tissue, else it lies elsewhere.
        mask_empty: more of the mask without tissue than this, and it is not the mask of the image.
        misfit_mm: so far inside and outside of a mask it is looked whether it fits a head.
        misfit_like: what has between these shares of the brain's median is like brain.
        misfit_dark: what has less than this share of it is dark.
        misfit_weight: how often the dark inside counts, and once what is like brain outside.
        mask_misfit: from this sum of both shares on the mask does not fit.
    """

    fewest_voxels: int
    negative_share: float
    fewest_values: int
    flat_share: float
    tiny_share: float
    tiny: float
    head_ml: float
    head_mm: float
    least_structure: float
    least_contrast: float
    saturated: float
    jump: float
    jump_share: float
    background_share: float
    hole_share: float
    voxel_mm: Sequence[float]
    fill: Sequence[float]
    tissue: float
    spike: float
    ring_mm: Sequence[float]
    inside_mm: float
    dark_ring: float
    brain_ml: Sequence[float]
    brain_mm: Sequence[float]
    mask_grey: float
    mask_flat: float
    mask_edge: float
    mask_dark: float
    mask_empty: float
    misfit_mm: float
    misfit_like: Sequence[float]
    misfit_dark: float
    misfit_weight: float
    mask_misfit: float


# for speed: steps in which a head is looked at, and about so many of many values
_COARSE_MM = 3.0
_SOME = 100_000


def _some_of(values: np.ndarray) -> np.ndarray:
    """Some of many values, evenly."""
    return values[:: max(1, values.size // _SOME)]


def _coarse(spacing: Sequence[float], *volumes: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Some voxels of volumes, about ``_COARSE_MM`` apart, and how far they are apart."""
    steps = [max(1, int(_COARSE_MM / mm)) for mm in spacing]
    some = tuple(slice(None, None, step) for step in steps)
    return [volume[some] for volume in volumes], [mm * step for mm, step in zip(spacing, steps)]


def number_of_values(values: np.ndarray, enough: int) -> int:
    """How many different values there are; counting stops when there are ``enough``."""
    few = len(np.unique(_some_of(values)))
    return few if few >= enough else len(np.unique(values))


def _share_of_neighbours(
    image: np.ndarray, brain: np.ndarray, few: float, such: Callable[[np.ndarray], np.ndarray]
) -> float:
    """The share of neighbours in the brain whose difference is ``such``, along the axis where they are the fewest; no
    further axis is looked at where the share along one is no higher than ``few``."""
    lowest = 1.0
    for axis, size in enumerate(image.shape):
        if size > 1 and lowest > few:
            low, high = (np.moveaxis(array, axis, 0) for array in (image, brain))
            both = high[1:] & high[:-1]
            if both.any():
                lowest = min(lowest, float(such(low[1:][both] - low[:-1][both]).mean()))
    return lowest


def flat_share(image: np.ndarray, brain: np.ndarray, few: float) -> float:
    """The share of neighbours in the brain that have the same value, along the axis where they are the fewest.

    The most frequent value does not count: it can be that of the air.

    Args:
        image: three axes.
        brain: bool, its shape.
        few: no further axis is looked at where the share along one is no higher.
    """
    values, counts = np.unique(_some_of(image[brain]), return_counts=True)
    brain = brain & (image != values[counts.argmax()]) if len(values) else brain
    return _share_of_neighbours(image, brain, few, lambda difference: difference == 0)


def tiny_floor(image: np.ndarray, limits: Limits) -> float:
    """The value up to which all is background: 0, or more where interpolation left tiny values around the brain."""
    if float(image.max()) <= 0:
        return 0.0
    # a spike is not what others are small beside
    largest = min(float(image.max()), limits.spike * float(np.percentile(image[image > 0], 99)))
    floor = limits.tiny * float(np.percentile(image[image > 0.01 * largest], 90))
    tiny, above = int(((image > 0) & (image <= floor)).sum()), int((image > floor).sum())
    return floor if tiny > limits.tiny_share * above else 0.0


def dark_ring(image: np.ndarray, spacing: Sequence[float], limits: Limits) -> float:
    """How dark the darkest ring some millimetres below the surface is, as a share of the inside: dark in a skull.

    Args:
        image: three axes, 0 or nearly so in the air.
        spacing: of its voxels in mm.
        limits: of what is plausible.

    Returns:
        float: 1.0 where there is no inside.
    """
    (coarse,), spacing = _coarse(spacing, image)
    if not (coarse > 0).any():
        return 1.0
    tissue = coarse > limits.tissue * np.percentile(coarse[coarse > 0], 98)
    labels, number = ndimage.label(tissue)
    if number > 1:
        tissue = labels == 1 + int(np.argmax(ndimage.sum_labels(tissue, labels, range(1, number + 1))))
    thick = int(np.argmax(spacing))
    filled = np.stack([ndimage.binary_fill_holes(part) for part in np.moveaxis(tissue, thick, 0)], axis=thick)
    depth = ndimage.distance_transform_edt(filled, sampling=spacing)
    inside = coarse[depth > limits.inside_mm]
    rings = [coarse[(depth > a) & (depth <= b)] for a, b in pairwise(limits.ring_mm)]
    if inside.size < 100 or not any(ring.size for ring in rings) or np.median(inside) <= 0:
        return 1.0
    return min(float(np.median(ring)) for ring in rings if ring.size) / float(np.median(inside))


def structure(image: np.ndarray, brain: np.ndarray, enough: float) -> float:
    """Rank correlation of neighbours in the brain, along the axis where it is the highest: near 0 in noise.

    Args:
        image: three axes.
        brain: bool, its shape.
        enough: no further axis is looked at where the correlation along one is as high.

    Returns:
        float: 1 where there are no neighbours, or no two values.
    """
    found: list[float] = []
    for axis, size in enumerate(image.shape):
        if size > 1 and max(found, default=-1.0) < enough:
            low, high = (np.moveaxis(array, axis, 0) for array in (image, brain))
            both = high[1:] & high[:-1]
            # by ranks, so that a spike does not count
            correlation = spearmanr(_some_of(low[1:][both]), _some_of(low[:-1][both])).statistic if both.any() else 1.0
            found.append(1.0 if np.isnan(correlation) else float(correlation))
    return max(found, default=1.0)


def contrast(values: np.ndarray) -> float:
    """How far values lie apart: their interquartile range as a share of their median; 0 where that is 0."""
    low, median, high = np.percentile(_some_of(values), [25, 50, 75])
    return float((high - low) / median) if median > 0 else 0.0


def jump_share(image: np.ndarray, brain: np.ndarray, limits: Limits) -> float:
    """The share of neighbours in the brain between which the image jumps, along the axis where they are the fewest."""
    values = _some_of(image[brain])
    jump = limits.jump * float(np.percentile(values, 99.9) - values.min())
    return _share_of_neighbours(image, brain, limits.jump_share, lambda difference: np.abs(difference) > jump)


def empty_slices(shown: np.ndarray) -> tuple[int, list[int]]:
    """Slices without anything between others: the axis with most of them, and their numbers.

    Args:
        shown: bool, three axes; where something is seen.
    """
    empty = []
    for axis in range(3):
        seen = shown.any(axis=tuple({0, 1, 2} - {axis}))
        first, last = np.flatnonzero(seen)[[0, -1]] if seen.any() else (0, 0)
        empty.append([int(number) for number in np.flatnonzero(~seen) if first < number < last])
    axis = max(range(3), key=lambda axis: len(empty[axis]))
    return axis, empty[axis]


def hole_share(brain: np.ndarray, spacing: Sequence[float]) -> float:
    """How large the holes are that a mask (bool, three axes) encloses, as a share of it; spacing in mm."""
    (coarse,), _ = _coarse(spacing, brain)
    return float((ndimage.binary_fill_holes(coarse) & ~coarse).sum()) / max(1, int(coarse.sum()))


def misfit(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float], limits: Limits) -> tuple[float, float]:
    """How badly a brain mask fits a head.

    Args:
        image: three axes.
        mask: bool, its shape.
        spacing: of the voxels in mm.
        limits: of what is plausible.

    Returns:
        tuple: the share of the voxels close around the mask that are like brain, and the share of those deep inside
        that are dark, as skull and air are.
    """
    (image, mask), spacing = _coarse(spacing, image, mask)
    median = float(np.median(image[mask])) if mask.any() else 0.0
    outside, inside = (ndimage.distance_transform_edt(part, sampling=spacing) for part in (~mask, mask))
    around, deep = image[(outside > 0) & (outside <= limits.misfit_mm)], image[inside > limits.misfit_mm]
    if median <= 0 or not around.size or not deep.size:
        return 0.0, 0.0
    low, high = (share * median for share in limits.misfit_like)
    like = float(((around > low) & (around < high)).mean())
    return like, float((deep < limits.misfit_dark * median).mean())


def likely_unit(millimetres: float, plausible: Sequence[float]) -> str:
    """What a wrong length may come from, in words."""
    for factor, unit in ((1000.0, "metres"), (10.0, "centimetres"), (0.001, "micrometres"), (0.1, "tenths of mm")):
        if plausible[0] <= millimetres * factor <= plausible[1]:
            return f"the header seems to have it in {unit}"
    return "the size of the voxels in the header is wrong, or much is missing"


def is_a_mask(values: np.ndarray, limits: Limits) -> bool:
    """Whether values are those of a mask, whose edge may be smooth, and not those of a label map or a scan.

    Args:
        values: three axes.
        limits: of what is plausible.
    """
    lowest, highest = float(values.min()), float(values.max())
    size = highest - lowest
    grey = (values > lowest + 0.1 * size) & (values < highest - 0.1 * size)
    share = float(grey.sum()) / max(1, int((values > lowest + 0.5 * size).sum()))
    if share > limits.mask_grey:
        return False
    return share < 0.1 * limits.mask_grey or flat_share(values, grey, limits.mask_flat) <= limits.mask_flat


def edge_share(mask: np.ndarray) -> float:
    """The share of the voxels along the twelve edges of a volume that are in a mask (bool, three axes)."""
    at_limit = np.zeros(mask.shape, np.uint8)
    for axis, size in enumerate(mask.shape):
        index: list[int | slice] = [slice(None)] * 3
        for place in (0, size - 1):
            index[axis] = place
            at_limit[tuple(index)] |= np.uint8(1 << axis)
    edges = np.isin(at_limit, (3, 5, 6, 7))
    return float(mask[edges].mean())


def dark_share(image: np.ndarray, mask: np.ndarray, limits: Limits) -> float:
    """The share of a mask (bool) in which the image shows no tissue, by the limits of what is plausible."""
    values = image[mask]
    return float((values <= limits.tissue * max(0.0, float(np.percentile(values, 98)))).mean())
