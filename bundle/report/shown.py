# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What pictures of a case are made from: the slices that matter, of the scan and of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from bundle.cases.case import CaseFolder
from bundle.preprocessing.box import box_of

# around the brain, in pictures
MARGIN_MM = 6.0


class Shown(NamedTuple):
    """Some axial slices of a case, cut to a box around the brain; axes towards left and posterior, then the slices.

    Attributes:
        numbers: of the slices in the scan, from 0 below; entry i belongs to index i of the last axis.
        image: intensities of the scan.
        mask: where the model sees a lesion (bool).
        error: squared error of the reconstruction.
        reconstruction: with the intensities of the scan.
        iterations: for which each voxel was hidden.
        label: the expert's mask (bool), or None.
        brain: where it is (bool), of a head whose skull was taken off or whose brain mask was given; else None.
        spacing: millimetres per voxel, along the first two axes.
        white: intensity that is shown white, the 99.5th percentile of the whole brain.
        brightest: error that is shown brightest, the 99.8th percentile of the whole brain.
        others: further contrasts by name, 1.0 being white.
        candidates: where the threshold is uncertain, the masks (bool) at the lowest and the highest that may be right.
    """

    numbers: list[int]
    image: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    reconstruction: np.ndarray
    iterations: np.ndarray
    label: np.ndarray | None
    brain: np.ndarray | None
    spacing: tuple[float, float]
    white: float
    brightest: float
    others: Mapping[str, np.ndarray] = {}
    candidates: Sequence[np.ndarray] = ()


def chosen_slices(mask: np.ndarray, brain: np.ndarray, number: int = 5) -> list[int]:
    """The slices that matter: spread over those with a lesion, weighted by area; over the whole brain without one."""
    area = mask.sum(axis=(0, 1), dtype=float)
    if not area.any():
        area = brain.sum(axis=(0, 1), dtype=float)
    share = np.cumsum(area) / area.sum()
    chosen = {int(np.searchsorted(share, (i + 0.5) / number)) for i in range(number)}
    return sorted({*chosen, int(area.argmax())})


def _box(brain: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(0, side.start - round(MARGIN_MM / mm)), min(size, side.stop + round(MARGIN_MM / mm)))
        for side, mm, size in zip(box_of(brain)[:2], spacing, brain.shape)
    )
    return rows, columns


def shown(
    volume: Callable[[str], np.ndarray],
    brain_of: Callable[[np.ndarray], np.ndarray],
    spacing: Sequence[float],
    label: np.ndarray | None = None,
    outlined: bool = False,
    numbers: Sequence[int] | None = None,
    others: Mapping[str, np.ndarray] | None = None,
    uncertain: bool = False,
) -> Shown:
    """Cut what is shown out of the volumes of a case.

    Args:
        volume: gives "mask", "image", "error", "reconstruction" and "iterations", and of an uncertain threshold
            "possible_lesions", W x H x D, axes towards left, posterior and superior; each is asked for once, and let
            go before the next.
        brain_of: from the image to where the brain is (bool).
        spacing: millimetres per voxel.
        label: the expert's mask.
        outlined: whether the brain is shown, too.
        numbers: of the slices; those of :py:func:`chosen_slices` when None.
        others: further contrasts by name.
        uncertain: whether the threshold is.
    """
    mask = volume("mask") > 0
    possible = volume("possible_lesions").astype(np.uint8) if uncertain else np.zeros_like(mask, np.uint8)
    image = volume("image")
    brain = brain_of(image)
    numbers = chosen_slices(mask | (possible > 0), brain) if numbers is None else list(numbers)
    box = (*_box(brain, spacing), numbers)
    white = float(np.percentile(image[brain], 99.5))
    mask, image = mask[box], image[box]
    error = volume("error")
    brightest = float(np.percentile(error[brain], 99.8))
    error = error[box]
    return Shown(
        numbers,
        image,
        mask,
        error,
        volume("reconstruction")[box],
        volume("iterations")[box],
        None if label is None else label[box],
        brain[box] if outlined else None,
        (float(spacing[0]), float(spacing[1])),
        white,
        brightest,
        {
            name: other[box] / max(float(np.percentile(other[brain], 99.5)), 1e-6)
            for name, other in (others or {}).items()
        },
        [(possible[box] & end) > 0 for end in (1, 2)] if uncertain else [],
    )


def read_shown(case: CaseFolder, numbers: Sequence[int] | None = None) -> Shown:
    """What is shown of a case that is finished, with the expert's mask where the run knew it."""
    statistics = case.statistics()
    uncertain = "uncertain_ml" in statistics["refinement"] and case.has("possible_lesions")
    with ThreadPoolExecutor(1) as reader:
        # each volume is read while the one before it is looked at
        names = iter(("mask", *(["possible_lesions"] if uncertain else []), "error", "reconstruction", "iterations"))
        coming = {next(names): reader.submit(case.volume, "mask")}
        scan = case.scan()
        spacing = [float(mm) for mm in scan.pixdim]
        read = {"image": np.asarray(scan[0])}
        others, found_brain = case.others(scan), case.found_brain()
        outlined = found_brain is not None or "brain_mask" in statistics
        del scan

        def volume(name: str) -> np.ndarray:
            if name in read:
                return read.pop(name)
            found = coming.pop(name).result()
            for following in islice(names, 1):
                coming[following] = reader.submit(case.volume, following)
            return found

        brain_of = partial(case.brain, found=found_brain)
        return shown(volume, brain_of, spacing, case.label(), outlined, numbers, others, uncertain)
