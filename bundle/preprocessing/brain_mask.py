# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Where the brain of a scan is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform

from bundle.data.volumes import half_of_range, read_on_grid
from bundle.errors import InputError
from bundle.preprocessing import plausibility
from bundle.preprocessing.box import box_of
from bundle.preprocessing.brain_extraction import HOW_TO_INSTALL, can_extract_brains, extract_brain
from bundle.preprocessing.intensity_checks import check_intensities, intensity_warnings
from bundle.preprocessing.plausibility import Limits

# meta data of a brain mask: 1 where the skull seems to be on, so that more than a brain is in it
SKULL_ON = "skull_on"

# the brain mask that was found in a head, in the grid of the scan: a result of its own
FOUND_BRAIN = "found_brain"

# meta data of an image whose brain mask was found: the value above which it is brain
BRAIN_FLOOR = "brain_floor"


def given_mask(path: str, image: MetaTensor, limits: Limits) -> MetaTensor:
    """Read the brain mask of an image: cut at half of its range, its axes turned as those of the image.

    Args:
        path: of the mask.
        image: 1 x X x Y x Z.
        limits: of what is plausible.

    Returns:
        MetaTensor: bool, the shape of ``image``.

    Raises:
        InputError: when it lies on another grid, is no mask, everything, or the inverse.
    """
    mask = read_on_grid(path, "brain mask", image)
    values = np.asarray(mask[0])
    if not plausibility.is_a_mask(values, limits):
        raise InputError(
            f"{path}: this is no brain mask, but a label map or a scan; give 1 in the brain and 0 around it, or "
            "probabilities."
        )
    inside = half_of_range(mask)
    if not inside.any():
        return inside
    found = np.asarray(inside[0])
    if plausibility.edge_share(found) > limits.mask_edge:
        raise InputError(
            f"{path}: the brain mask reaches the edges of the volume, so it is everything, or the inverse; "
            "give 1 in the brain and 0 around it."
        )
    return inside


def volume_and_length(mask: MetaTensor) -> tuple[float, float]:
    """Millilitres of a mask (bool, 1 x X x Y x Z, somewhere true), and its longest extent along an axis in mm."""
    spacing = [float(mm) for mm in affine_to_spacing(mask.affine)]
    millilitres = np.count_nonzero(mask) * float(abs(torch.linalg.det(mask.affine[:3, :3]))) / 1000.0
    return millilitres, max((side.stop - side.start) * mm for side, mm in zip(box_of(mask[0]), spacing))


class BrainMaskd(MapTransform):
    """Find the brain of a skull-stripped image, or load the brain mask that the user gives.

    A head whose skull is still on loses it first, see :py:mod:`bundle.preprocessing.brain_extraction`.

    Args:
        keys: of the image, loaded and channel first.
        skull_strip: "auto" to take the skull off what seems to be a head, "always", or "never".
        limits: of what is plausible, see :py:class:`bundle.preprocessing.plausibility.Limits`.
        device: that takes the skull off.
        mask_key: where the mask goes (bool); a path found there is loaded in the place of ``image > 0``.

    The data gain ``mask_key``; where a skull was taken off the same as ``FOUND_BRAIN``; and ``warnings``, a string with
    one sentence a line: whatever a reader of the result should know, empty when all is well.

    Raises:
        InputError: when there is no brain to be seen, its size is impossible, the image is a mask, a label map or
            standardised, or the given mask does not fit it.
    """

    def __init__(
        self,
        keys: KeysCollection,
        limits: Mapping[str, Any],
        skull_strip: str,
        device: torch.device | str = "cpu",
        mask_key: str = "brain_mask",
    ) -> None:
        super().__init__(keys)
        self.skull_strip = skull_strip
        self.device = torch.device(device)
        self.can_strip = can_extract_brains()
        self.limits = Limits(**limits)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            path = image.meta.get("filename_or_obj", "the image")
            said = [d.get("warnings", "")]
            given = d.get(self.mask_key)
            floor, head = 0.0, ""
            if given is None:
                floor = plausibility.tiny_floor(np.asarray(image[0]), self.limits)
                self._check_background(image, floor, path)
                head = self._signs_of_a_head(image, image > floor)
            seen = image > floor
            strip = given is None and (
                self.skull_strip == "always" or (self.skull_strip == "auto" and head and self.can_strip)
            )
            if strip:
                mask = extract_brain(image, self.device)
                d[FOUND_BRAIN] = mask.to(torch.uint8)
                said.append("The skull was taken off by HD-BET: look at the outline of the brain.")
            elif given is None:
                image.meta[BRAIN_FLOOR] = floor
                mask = seen
                if floor:
                    said.append(
                        f"Tiny values (interpolation, noise) lie around the brain: what is below {floor:.3g} was "
                        "taken for background."
                    )
            else:
                mask = given_mask(given, image, self.limits)
            count = np.count_nonzero(mask)
            if count < self.limits.fewest_voxels:
                remedy = "a skull-stripped image with positive intensities in the brain, or a brain mask"
                raise InputError(
                    f"{given or path}: only {count} voxels of brain (at least {self.limits.fewest_voxels} are needed); "
                    f"give {'the mask of the whole brain' if given else remedy}."
                )
            # a constant below zero around the brain does no harm
            counted = mask if strip or given is not None else image > image.min()
            check_intensities(image, mask, counted, path, self.limits)
            doubts = intensity_warnings(image, mask, given is not None, self.limits)
            doubts += self._size_warnings(image, mask, given, path)
            if strip or given is not None:
                doubts += self._fit_warnings(image, mask)
            mask.meta[SKULL_ON] = int(bool(head) and not strip)
            if mask.meta[SKULL_ON]:
                remedy = "strip it" if self.can_strip else f"install the skull stripping ({HOW_TO_INSTALL})"
                doubts = [
                    f"THE SKULL SEEMS TO BE STILL ON: {head}. The result is not to be trusted; {remedy}, or give a "
                    "brain mask."
                ]
            said += doubts
            d[self.mask_key] = mask
            d["warnings"] = "\n".join(filter(None, said))
        return d

    def _signs_of_a_head(self, image: MetaTensor, seen: MetaTensor) -> str:
        """Why a scan seems to have its skull on; empty where it seems to have none."""
        limits = self.limits
        if not np.asarray(seen).any():
            return ""
        spacing = [float(mm) for mm in affine_to_spacing(image.affine)]
        millilitres, length = volume_and_length(seen)
        if not limits.brain_mm[0] <= length <= limits.brain_mm[1]:
            return ""
        ring = plausibility.dark_ring(np.asarray(image[0]), spacing, limits)
        if millilitres <= limits.head_ml and length <= limits.head_mm and ring >= limits.dark_ring:
            return ""
        dark = f", and below the surface lies a dark ring ({100 * ring:.0f} %)" if ring < limits.dark_ring else ""
        return f"{millilitres:.0f} ml, {length:.0f} mm long, are not zero{dark}"

    def _check_background(self, image: MetaTensor, floor: float, path: str) -> None:
        """Refuse a stripped scan whose background is one value above ``floor``: it would be taken for a head.

        Raises:
            InputError: naming the path.
        """
        voxels = np.asarray(image[0])
        lowest = float(voxels.min())
        share = float((voxels == lowest).mean()) if lowest > floor else 0.0
        if share <= self.limits.background_share:
            return
        above = cast(MetaTensor, image - lowest)
        # of a head the skull comes off, whatever is around it
        if not self._signs_of_a_head(above, cast(MetaTensor, above > 0)):
            raise InputError(
                f"{path}: {100 * share:.0f} % of its voxels have the lowest value, which is {lowest:g} and not 0: a "
                "constant was added, or the background filled with it; give 0 where there is no tissue (where "
                f"{lowest:g} was added to all, subtract it)."
            )

    def _size_warnings(self, image: MetaTensor, mask: MetaTensor, given: str | None, path: str) -> list[str]:
        """Sentences about a brain of a doubtful size or place.

        Raises:
            InputError: when the size is impossible.
        """
        limits = self.limits
        spacing = [float(mm) for mm in affine_to_spacing(mask.affine)]
        edges = (min(spacing), max(spacing))
        millilitres, length = volume_and_length(mask)
        if not limits.brain_mm[0] <= length <= limits.brain_mm[1]:
            reason = plausibility.likely_unit(length, (limits.brain_mm[0], limits.head_mm))
            raise InputError(
                f"{path}: the brain is {length:.3g} mm long by the header, which no human brain is: {reason}; correct "
                "the header, or give the whole brain."
            )
        said = []
        if edges[0] < limits.voxel_mm[0] or edges[1] > limits.voxel_mm[1]:
            sizes = " x ".join(f"{mm:.3g}" for mm in spacing)
            said.append(f"The voxels are {sizes} mm large, which is unusual: look at the header and at the result.")
        if given is not None:
            dark = plausibility.dark_share(np.asarray(image[0]), np.asarray(mask[0]), limits)
            if dark > limits.mask_empty:
                raise InputError(
                    f"{given}: the image shows nothing in {100 * dark:.0f} % of the brain mask; give the mask of this "
                    "image, on its grid."
                )
            if dark > limits.mask_dark:
                said.append(
                    f"The image shows no tissue in {100 * dark:.0f} % of the brain mask: it may lie elsewhere than the "
                    "brain; look at its outline."
                )
        axis, empty = plausibility.empty_slices(np.asarray(mask[0]) & (np.asarray(image[0]) > float(image.min())))
        if empty:
            said.append(
                f"The image shows nothing in {len(empty)} slices between others (axis {axis + 1}, counted from 0: "
                f"{', '.join(map(str, empty[:8]))}): lesions are missed there, and broken in two; export the scan "
                "again."
            )
        holes = plausibility.hole_share(np.asarray(mask[0]), spacing)
        if holes > limits.hole_share:
            said.append(
                f"The brain has holes of {holes * millilitres:.0f} ml, in which no lesion is looked for: was something "
                "cut out? Give the scan as it was, and a mask of the whole brain."
            )
        if not limits.brain_ml[0] <= millilitres <= limits.brain_ml[1]:
            said.append(
                f"The brain has {millilitres:.0f} ml, those of adults have {limits.brain_ml[0]:g} to "
                f"{limits.brain_ml[1]:g}: the scan shows a part of it, or the brain mask or the voxel size is wrong."
            )
        return said

    def _fit_warnings(self, image: MetaTensor, mask: MetaTensor) -> list[str]:
        """A sentence where a brain mask seems to lie elsewhere than the brain of a head, or to be of another size."""
        spacing = [float(mm) for mm in affine_to_spacing(mask.affine)]
        like, dark = plausibility.misfit(np.asarray(image[0]), np.asarray(mask[0]), spacing, self.limits)
        if like + self.limits.misfit_weight * dark < self.limits.mask_misfit:
            return []
        return [
            f"The brain mask may not fit: {100 * like:.0f} % of what lies close around it is as bright as brain, and "
            f"{100 * dark:.0f} % of its inside is dark. It may be turned, shifted, too large or too small: look at its "
            "outline."
        ]
