# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The field of view that the networks see."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import Crop, InvertibleTransform, MapTransform, Pad

from bundle.errors import InputError
from bundle.preprocessing.box import box_of
from bundle.preprocessing.brain_mask import SKULL_ON

# meta data: which slice of the scan is the first that was kept
FIRST_SLICE = "first_slice"


class FieldOfViewd(MapTransform, InvertibleTransform):
    """Cut, or pad with zeros, to a square field of view in plane, centred on the brain, and to the slices with brain.

    What seems to be a head with its skull on (see :py:class:`BrainMaskd`) loses what does not fit.

    Args:
        keys: volumes on one grid, channel first, slices along the last axis.
        millimetres: side of the field of view. The published networks saw 240 mm.
        mask_key: of the brain mask.

    Raises:
        InputError: when a brain does not fit into the field of view.
    """

    def __init__(
        self,
        keys: KeysCollection,
        millimetres: float,
        mask_key: str = "brain_mask",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.millimetres = millimetres
        self.padder = Pad(mode="constant")
        self.cropper = Crop()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        mask = d[self.mask_key]
        box = box_of(mask[0])
        starts, ends = [side.start for side in box], [side.stop for side in box]
        sizes = [ends[axis] - starts[axis] for axis in range(3)]
        for axis, spacing in enumerate(affine_to_spacing(mask.affine)[:2]):
            size = max(1, round(self.millimetres / float(spacing)))
            # a head is wider than a brain, and the warning about it stands already; a brain mask is never so wide
            if sizes[axis] > size and not mask.meta.get(SKULL_ON):
                raise InputError(
                    f"{mask.meta.get('filename_or_obj', 'the image')}: the brain spans "
                    f"{sizes[axis] * float(spacing):.0f} mm, more than the field of view of {self.millimetres:g} mm; "
                    "check the brain mask, and the voxel size in the header."
                )
            starts[axis] = (starts[axis] + ends[axis] - size) // 2
            sizes[axis] = size
        padding = [
            (max(0, -start), max(0, start + size - full)) for start, size, full in zip(starts, sizes, mask.shape[1:])
        ]
        slices = tuple(
            slice(start + before, start + before + size) for start, size, (before, _) in zip(starts, sizes, padding)
        )
        for key in self.key_iterator(d):
            padded = self.padder(d[key], to_pad=[(0, 0), *padding])  # type: ignore[arg-type]  # a pair for each axis
            d[key] = self.cropper(padded, slices)
            d[key].meta[FIRST_SLICE] = starts[2]
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.padder.inverse(self.cropper.inverse(d[key]))
        return d
