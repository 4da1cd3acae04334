# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From prompts to a mask, and what else can be asked of the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from monai.utils import convert_to_dst_type

from bundle.errors import InputError
from bundle.interaction.prompts import Prompts, Voxel
from bundle.interaction.refining import Refined, refined_again
from bundle.interaction.region import Box, box_around, click_region, octaves
from bundle.interaction.state import ScanState
from bundle.preprocessing.box import box_of


class Change(NamedTuple):
    """Where a mask differs from the one without prompts.

    Attributes:
        voxels: how many do.
        box: first voxel and the one after the last along each axis, around all of them; None where none does.
    """

    voxels: int
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None


@dataclass(eq=False)
class Answer:
    """What prompts make of a scan.

    Args:
        state: of the scan.
        mask: 1 where a lesion is, 0 elsewhere; uint8, the shape of the scan as it is stored.
        known_normal: bool, the shape of ``mask``; what the prompts say is normal.
        known_lesion: the same of lesions.
        seconds: that the mask took.

    Score and reconstruction are computed when they are asked for: the slices of which something is known pass through
    the networks again.
    """

    state: ScanState
    mask: np.ndarray
    known_normal: np.ndarray
    known_lesion: np.ndarray
    seconds: float

    @cached_property
    def on_model_grid(self) -> Refined:
        """Score and reconstruction on the grid of the model."""
        return refined_again(self.state, self.known_normal, self.known_lesion)

    @cached_property
    def _maps(self) -> dict[str, np.ndarray]:
        return self.state.on_scan(**self.on_model_grid._asdict())

    @property
    def score(self) -> np.ndarray:
        """The lesion score, float32, on the grid of the scan."""
        return self._maps["score"]

    @property
    def reconstruction(self) -> np.ndarray:
        """The last reconstruction, with the intensities of the scan, float32, on its grid."""
        return self._maps["reconstruction"]

    @cached_property
    def changed(self) -> Change:
        """Where the mask differs from the one without prompts."""
        differs = self.mask != self.state.mask
        box = box_of(differs)
        if not box:
            return Change(0, None)
        first, second, third = ((side.start, side.stop) for side in box)
        return Change(int(differs.sum()), (first, second, third))

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Volume in millilitres, components and warnings, as ``itermask2 segment`` writes them of a case."""
        data = dict(self.state.data)
        data["pred"] = convert_to_dst_type(self.mask[None], data["pred"])[0]
        return self.state.tools.describe(data)["statistics"]


def region_of(state: ScanState, voxel: Voxel, lesion: bool, wrong: np.ndarray) -> tuple[Box, np.ndarray]:
    """What belongs to a click: a box, and how surely each voxel in it does; ``wrong`` is of the whole scan."""
    rule = state.tools.rule
    box = box_around(voxel, state.shape, state.spacing, rule["reach"])
    inside = [index - side.start for index, side in zip(voxel, box)]
    score = octaves(state.score_on_scan[box], state.threshold, rule["octaves"])
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
