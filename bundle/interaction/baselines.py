# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a click does by intensity alone: region growing and random walker, to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage
from skimage.segmentation import flood, random_walker

from bundle.interaction.region import box_around, distance_from
from bundle.interaction.robot import Click
from bundle.interaction.state import ScanState


def _near(state: ScanState, click: Click) -> tuple[tuple[slice, slice, slice], tuple[int, int, int], np.ndarray]:
    """The box around a click, the click in it, and what of it is within reach of the click."""
    reach = state.tools.rule["reach"]
    box = box_around(click.voxel, state.shape, state.spacing, reach)
    first, second, third = (index - side.start for index, side in zip(click.voxel, box))
    shape = state.brain[box].shape
    return box, (first, second, third), distance_from([(first, second, third)], shape, state.spacing) <= reach


def by_flood(mask: np.ndarray, clicks: Sequence[Click], state: ScanState, numbers: Mapping[str, float]) -> np.ndarray:
    """The mask after one more click, the last one, by plain region growing (scikit-image ``flood``).

    What is connected with the click and of an intensity within ``flood`` interquartile ranges of it is taken.

    Args:
        mask: bool, before that click.
        clicks: all so far.
        state: of the scan.
        numbers: of the baselines.
    """
    box, voxel, within = _near(state, clicks[-1])
    grown = flood(state.scan[box], voxel, tolerance=numbers["flood"] * state.intensity_scale)
    after = mask.copy()
    after[box][grown & within & state.brain[box]] = clicks[-1].lesion
    after[clicks[-1].voxel] = clicks[-1].lesion
    return after


def by_random_walker(
    mask: np.ndarray, clicks: Sequence[Click], state: ScanState, numbers: Mapping[str, float]
) -> np.ndarray:
    """The mask after one more click, the last one, by a random walker on the intensity.

    Its seeds are the clicks so far, and, at the end of the reach of the click, the mask before it.

    Args:
        mask: bool, before that click.
        clicks: all so far.
        state: of the scan.
        numbers: of the baselines: ``random_walker``, see ``beta`` of scikit-image.
    """
    box, _, within = _near(state, clicks[-1])
    inside = within & state.brain[box]
    seeds = np.where(mask[box], 2, 1)
    seeds[ndimage.binary_erosion(inside, border_value=1)] = 0
    seeds[~state.brain[box]] = -1
    for click in clicks:
        at = [index - side.start for index, side in zip(click.voxel, box)]
        if all(0 <= index < size for index, size in zip(at, inside.shape)):
            seeds[tuple(at)] = 2 if click.lesion else 1
    after = mask.copy()
    if (seeds == 0).any() and {1, 2} <= set(np.unique(seeds).tolist()):
        data = state.scan[box] / state.intensity_scale
        found = random_walker(data, seeds, beta=numbers["random_walker"], mode="cg_j", spacing=state.spacing)
        after[box][inside] = found[inside] == 2
    after[clicks[-1].voxel] = clicks[-1].lesion
    return after
