# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What is said of the intensities of a scan, or refused, before anything is looked for in it."""

from __future__ import annotations

import math

import numpy as np
from monai.data import MetaTensor

from bundle.errors import InputError
from bundle.preprocessing import plausibility
from bundle.preprocessing.plausibility import Limits


def check_intensities(image: MetaTensor, mask: MetaTensor, counted: MetaTensor, path: str, limits: Limits) -> None:
    """Refuse a mask, a label map, and a standardised image, where zero lies amid the brain.

    Args:
        image: 1 x X x Y x Z.
        mask: where the brain is (bool).
        counted: where intensities below zero count (bool).
        path: of the image.
        limits: of what is plausible.

    Raises:
        InputError: naming the path.
    """
    voxels, brain = np.asarray(image[0]), np.asarray(mask[0])
    values = voxels[brain]
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        raise InputError(
            f"{path}: every voxel of the brain is {highest:g}, so this seems to be a mask and no scan; give the "
            "scan, or leave the file out by --pattern or a datalist."
        )
    number = plausibility.number_of_values(values, limits.fewest_values)
    flat = plausibility.flat_share(voxels, brain, limits.flat_share)
    if number < limits.fewest_values or flat > limits.flat_share:
        raise InputError(
            f"{path}: the brain has {number} different values, and {100 * flat:.0f} % of neighbours have the same "
            "one, so this seems to be a label map and no scan; give the scan, or leave the file out."
        )
    below = voxels[(voxels < 0) & np.asarray(counted[0])].sum(dtype=float)
    above = values[values > 0].sum(dtype=float)
    share = float(-below / above) if above > 0 else math.inf
    if share > limits.negative_share:
        raise InputError(
            f"{path}: intensities below zero weigh {100 * share:.0f} % of those above, so they seem to be "
            "standardised (z-scores); give them as the scanner did, positive in the brain and zero around it."
        )


def intensity_warnings(image: MetaTensor, mask: MetaTensor, given: bool, limits: Limits) -> list[str]:
    """Sentences about a brain without structure or contrast, and intensities that were cut off or shifted.

    Args:
        image: 1 x X x Y x Z.
        mask: where the brain is (bool).
        given: whether somebody gave the mask, so that what lies around it is of no interest.
        limits: of what is plausible.
    """
    voxels, brain = np.asarray(image[0]), np.asarray(mask[0])
    values = voxels[brain]
    said = []
    if plausibility.structure(voxels, brain, limits.least_structure) < limits.least_structure:
        said.append(
            "Neighbours in the brain have nothing to do with each other, as in noise: look at the scan; the result "
            "is not to be trusted."
        )
    if plausibility.contrast(values) < limits.least_contrast:
        said.append(
            "All of the brain has nearly the same intensity: look at the scan; the result is not to be trusted."
        )
    saturated = float((values == values.max()).mean())
    if saturated > limits.saturated:
        said.append(
            f"{100 * saturated:.0f} % of the brain have the highest of all intensities: they were cut off, and "
            "lesions with them; the result is not to be trusted. Export the scan again with all of its range."
        )
    if plausibility.jump_share(voxels, brain, limits) > limits.jump_share:
        said.append(
            "Neighbours in the brain jump from bright to dark and back, as where intensities above a limit begin "
            "anew at zero (a conversion to 8 bits); look at the scan; the result is not to be trusted."
        )
    lowest = float(image.min())
    around = voxels[~brain]
    constant = around.size > 0 and float((around == lowest).mean()) > 0.5
    fill = -lowest / max(float(np.percentile(values, 90)), 1e-30)
    if not given and constant and limits.fill[0] <= fill <= limits.fill[1]:
        said.append(
            f"Around the brain the scan has {lowest:.3g} and not 0: where its intensities were standardised "
            "(z-scores) or shifted, the result is not to be trusted; give them as the scanner did."
        )
    return said
