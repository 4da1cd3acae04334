# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From prompts to a mask."""

from __future__ import annotations

import time

import numpy as np

from bundle.errors import InputError
from bundle.interaction.prompts import Prompts, Voxel
from bundle.interaction.region import Box, box_around, click_region, octaves
from bundle.interaction.state import Answer, ScanState


def region_of(state: ScanState, voxel: Voxel, lesion: bool, wrong: np.ndarray) -> tuple[Box, np.ndarray]:
    """What belongs to a click: a box, and how surely each voxel in it does; ``wrong`` is of the whole scan."""
    rule = state.tools.rule
    box = box_around(voxel, state.shape, state.spacing, rule["reach"])
    inside = [index - side.start for index, side in zip(voxel, box)]
    score = octaves(state.automatic.score[box], state.threshold)
    brain = state.brain[box]
    unmarked = brain & (state.mask[box] == 0)
    intensity = state.lesion_intensity[box]
    return box, click_region(inside, lesion, wrong[box] & brain, unmarked, intensity, score, state.spacing, rule)


def clicked_mask(state: ScanState, prompts: Prompts, start: np.ndarray) -> np.ndarray:
    """The mask that clicks and scribbles make of another one.

    First each click changes what belongs to it, where the mask to start from contradicts it. Then the clicks that this
    mask agreed with take back what was changed and belongs more surely to them. The voxels of all prompts come last.
    No step depends on an order.

    Args:
        state: of the scan.
        prompts: in its voxels.
        start: bool, the shape of the scan.

    Returns:
        np.ndarray: bool.
    """
    clicks = [(voxel, True) for voxel in prompts.foreground] + [(voxel, False) for voxel in prompts.background]
    changed, surely = start.copy(), np.zeros(state.shape, np.float32)
    for voxel, lesion in clicks:
        if start[voxel] != lesion:
            box, belongs = region_of(state, voxel, lesion, start != lesion)
            changed[box][belongs > 0] = lesion
            np.maximum(surely[box], belongs, out=surely[box])
    mask = changed.copy()
    for voxel, lesion in clicks:
        if start[voxel] == lesion:
            box, belongs = region_of(state, voxel, lesion, (changed != lesion) & (changed != start))
            mask[box][belongs > surely[box]] = lesion
    for lesion, prompted in ((True, prompts.lesion()), (False, prompts.normal())):
        for voxels in prompted:
            mask[tuple(np.asarray(voxels).T)] = lesion
    return mask


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
    before = state.mask > 0
    if start is not None:
        before = np.asarray(start) > 0
        if before.shape != state.shape:
            raise InputError(
                f"The mask to start from has the shape {before.shape}, the scan {state.shape}; "
                "give one on the grid of the scan."
            )
    mask = clicked_mask(state, prompts, before)
    known_lesion, known_normal = mask & ~before, before & ~mask
    for known, prompted in ((known_lesion, prompts.lesion()), (known_normal, prompts.normal())):
        for voxels in prompted:
            known[tuple(np.asarray(voxels).T)] = True
    return Answer(state, mask.astype(np.uint8), known_normal, known_lesion, time.perf_counter() - started)
