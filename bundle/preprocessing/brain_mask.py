# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Where the brain of a scan is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.transforms.utils import generate_spatial_bounding_box

from bundle.data.volumes import check_same_grid, read_volume
from bundle.errors import InputError

# meta data of a brain mask: 1 where the skull seems to be on, so that more than a brain is in it
SKULL_ON = "skull_on"

# least number of voxels that are taken for a brain
FEWEST_BRAIN_VOXELS = 1000


# interpolation leaves a little below zero around a brain; what is below zero weighs less, of what is above, than this
LARGEST_NEGATIVE_SHARE = 0.05


# a brain is not larger than this, a head is
LARGEST_BRAIN_ML = 2500.0


LARGEST_BRAIN_MM = 215.0


class BrainMaskd(MapTransform):
    """Find the brain of a skull-stripped image, or load the brain mask that the user gives.

    Args:
        keys: of the image, loaded and channel first.
        mask_key: where the mask goes (bool); a path found there is loaded in the place of ``image > 0``.

    The data gain ``mask_key`` and ``warnings``, a string with one sentence a line: whatever a reader of the result
    should know, empty when all is well.

    Raises:
        InputError: when there is no brain to be seen, the image is a mask or standardised, or the given mask does not
            fit it.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            path = image.meta.get("filename_or_obj", "the image")
            given = d.get(self.mask_key)
            if given is None:
                mask = image > 0
            else:
                mask = read_volume(given, "brain mask")
                check_same_grid(mask, given, "brain mask", image)
                mask = mask > 0
            count = int(mask.sum())
            if count < FEWEST_BRAIN_VOXELS:
                raise InputError(
                    f"{path}: only {count} voxels of brain (at least {FEWEST_BRAIN_VOXELS} are needed); give a "
                    "skull-stripped image with positive intensities in the brain, or a brain mask."
                )
            # a constant below zero around the brain does no harm
            self._check_intensities(image, mask, mask if given is not None else image > image.min(), path)
            d[self.mask_key] = mask
            skull = "" if given is not None else self._skull_warning(mask)
            mask.meta[SKULL_ON] = int(bool(skull))
            d["warnings"] = "\n".join(filter(None, (d.get("warnings", ""), skull)))
        return d

    @staticmethod
    def _check_intensities(image: MetaTensor, mask: MetaTensor, counted: MetaTensor, path: str) -> None:
        """Refuse a mask, and a standardised image, where zero lies amid the brain: its negative voxels tell."""
        lowest, highest = float(image[mask].min()), float(image[mask].max())
        if lowest == highest:
            raise InputError(
                f"{path}: every voxel of the brain is {highest:g}, so this seems to be a mask and no scan; give the "
                "scan, or leave the file out by --pattern or a datalist."
            )
        below, above = (image[part].double().sum() for part in ((image < 0) & counted, (image > 0) & mask))
        share = float(-below / above)
        if share > LARGEST_NEGATIVE_SHARE:
            raise InputError(
                f"{path}: intensities below zero weigh {100 * share:.0f} % of those above, so they seem to be "
                "standardised (z-scores); give them as the scanner did, positive in the brain and zero around it."
            )

    @staticmethod
    def _skull_warning(mask: MetaTensor) -> str:
        """One sentence when what is not zero is too large for a brain."""
        spacing = affine_to_spacing(mask.affine)
        millilitres = float(mask.sum()) * float(torch.as_tensor(spacing).prod()) / 1000.0
        start, end = generate_spatial_bounding_box(mask, lambda x: x > 0)
        length = max((e - s) * float(mm) for s, e, mm in zip(start, end, spacing))
        if millilitres <= LARGEST_BRAIN_ML and length <= LARGEST_BRAIN_MM:
            return ""
        return (
            f"THE SKULL SEEMS TO BE STILL ON: {millilitres:.0f} ml, {length:.0f} mm long, are not zero. "
            "The result is not to be trusted; strip the skull, or give a brain mask."
        )
