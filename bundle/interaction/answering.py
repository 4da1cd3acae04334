# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From prompts to a mask."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bundle.errors import InputError
from bundle.interaction.prompts import Prompts, Voxel
from bundle.interaction.refining import refined_again
from bundle.interaction.region import box_around, influence
from bundle.interaction.state import Answer, ScanState


def _spread(state: ScanState, prompts: Sequence[Sequence[Voxel]]) -> np.ndarray:
    """How much each voxel of the scan belongs to one of the prompts, 0 to 1."""
    whole = np.zeros(state.shape, np.float32)
    for voxels in prompts:
        box = box_around(voxels, state.shape, state.spacing, state.tools.rule["reach"])
        inside = np.asarray(voxels) - [side.start for side in box]
        part = influence(inside, state.scan[box], state.spacing, state.intensity_scale, state.tools.rule)
        np.maximum(whole[box], part, out=whole[box])
    return whole


def _score_in_scan(state: ScanState, score: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The score of some voxels of the scan (bool), interpolated linearly."""
    there = state.to_model[:3, :3] @ np.array(where.nonzero()) + state.to_model[:3, 3:]
    return ndimage.map_coordinates(score, there, order=1)


def answer(state: ScanState, prompts: Prompts, start: np.ndarray | None = None) -> Answer:
    """The mask of a scan, given what a clinician says of it.

    It depends on the prompts as a set alone, never on their order or on an earlier answer: to undo a click is to ask
    again without it.

    Args:
        state: of the scan, see :py:func:`bundle.interaction.prepare_scan`.
        prompts: in voxels of the scan.
        start: mask to start from in the place of the automatic one, the shape of the scan.

    Raises:
        InputError: when a prompt lies outside of the scan, or ``start`` has another shape.
    """
    started = time.perf_counter()
    prompts.check_inside(state.shape)
    mask = state.mask
    if start is not None:
        mask = (np.asarray(start) > 0).astype(np.uint8)
        if mask.shape != state.shape:
            raise InputError(
                f"The mask to start from has the shape {mask.shape}, the scan {state.shape}; "
                "give one on the grid of the scan."
            )
    if not prompts:
        return Answer(state, mask, state.score, state.reconstruction, time.perf_counter() - started)
    lesion, normal = _spread(state, prompts.lesion()), _spread(state, prompts.normal())
    known_lesion, known_normal = lesion > np.maximum(normal, 0.5), normal > np.maximum(lesion, 0.5)
    score, reconstruction = refined_again(state, known_normal, known_lesion)
    pull = lesion - normal
    mask = mask.copy()
    where = (pull > 0) & state.brain
    lowered = state.threshold * (1 - state.tools.rule["pull"] * pull[where])
    mask[where] |= _score_in_scan(state, score.numpy(), where) >= lowered
    mask[known_normal] = 0
    for value, drawn in ((1, prompts.lesion()), (0, prompts.normal())):
        for voxels in drawn:
            mask[tuple(np.asarray(voxels).T)] = value
    return Answer(state, mask, score, reconstruction, time.perf_counter() - started)
