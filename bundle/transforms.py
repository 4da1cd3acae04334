# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From a scan on disk to normalised axial slices of the brain."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Crop, InvertibleTransform, LoadImaged, MapTransform, Pad
from monai.transforms.utils import generate_spatial_bounding_box

from bundle.errors import InputError
from bundle.reading import check_same_grid, read_volume

# normalised intensity of everything that is not brain; no brain voxel has it
BACKGROUND = -3.0
# meta data: which slice of the scan is the first that was kept
FIRST_SLICE = "first_slice"
# least number of voxels that are taken for a brain
FEWEST_BRAIN_VOXELS = 1000
# interpolation leaves a little below zero around a brain; what is below zero weighs less, of what is above, than this
LARGEST_NEGATIVE_SHARE = 0.05
# a brain is not larger than this, a head is
LARGEST_BRAIN_ML = 2500.0
LARGEST_BRAIN_MM = 215.0


class LoadVolumed(LoadImaged):
    """Load one 3D volume a key, channel first, and refuse unusable ones in one clear sentence.

    See :py:func:`bundle.reading.read_volume`. All keys must lie on the grid of the first one. A kind of ``LoadImaged``,
    because MONAI Label looks for one.

    Args:
        keys: of the paths, the image first.
        allow_missing_keys: whether keys other than the first may be missing.

    Raises:
        InputError: when a volume is missing, unreadable, not 3D, not finite, without position, constant (the first
            key) or on another grid than the first one.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any], reader: Any = None) -> dict[Hashable, Any]:
        d = dict(data)
        first: MetaTensor | None = None
        for key in self.key_iterator(d):
            path = d[key]
            d[key] = read_volume(path, str(key))
            if first is None:
                first = d[key]
                if float(first.min()) == float(first.max()):
                    raise InputError(
                        f"{path}: the {key} is empty (every voxel is {float(first.min()):g}); export it again."
                    )
            else:
                check_same_grid(d[key], path, str(key), first)
        return d


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
            d["warnings"] = "" if given is not None else self._skull_warning(mask)
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


class FieldOfViewd(MapTransform, InvertibleTransform):
    """Cut, or pad with zeros, to a square field of view in plane, centred on the brain, and to the slices with brain.

    What seems to be a head with its skull on (see :py:class:`BrainMaskd`) loses what does not fit.

    Args:
        keys: volumes on one grid, channel first, slices along the last axis.
        mask_key: of the brain mask.
        millimetres: side of the field of view. The published networks saw 240 mm.

    Raises:
        InputError: when a brain does not fit into the field of view.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "brain_mask",
        millimetres: float = 240.0,
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
        starts, ends = generate_spatial_bounding_box(mask, lambda x: x > 0)
        sizes = [ends[axis] - starts[axis] for axis in range(3)]
        for axis, spacing in enumerate(affine_to_spacing(mask.affine)[:2]):
            size = max(1, round(self.millimetres / float(spacing)))
            # a head is wider than a brain, and the warning about it stands already; a brain mask is never so wide
            if sizes[axis] > size and not d.get("warnings"):
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
        slices = [
            slice(start + before, start + before + size) for start, size, (before, _) in zip(starts, sizes, padding)
        ]
        for key in self.key_iterator(d):
            d[key] = self.cropper(self.padder(d[key], to_pad=[(0, 0), *padding]), slices)
            d[key].meta[FIRST_SLICE] = starts[2]
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.padder.inverse(self.cropper.inverse(d[key]))
        return d


class NormalizeBrainIntensityd(MapTransform):
    """Map 0 to -3 and a high percentile of the brain's intensities to +3, without clipping (paper section 3.1).

    The percentile goes into the meta data as ``intensity_high``, so that
    :py:class:`bundle.postprocessing.RestoreIntensityd` can undo this.

    Args:
        keys: images.
        mask_key: of the brain mask.
        percentile: of the brain voxels.

    Raises:
        InputError: when the percentile is not positive.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask", percentile: float = 90.0) -> None:
        super().__init__(keys)
        self.mask_key = mask_key
        self.percentile = percentile

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            brain = np.asarray(image)[np.asarray(d[self.mask_key], dtype=bool)]
            high = float(np.percentile(brain, self.percentile))
            if high <= 0:
                raise InputError(
                    f"{image.meta.get('filename_or_obj', 'the image')}: the {self.percentile:g}th percentile of the "
                    "brain is not positive; give an image whose brain has positive intensities."
                )
            d[key] = (image / high - 0.5) * (-2 * BACKGROUND)
            d[key].meta["intensity_high"] = high
        return d


class ClearBackgroundd(MapTransform):
    """Give every voxel outside the brain exactly the background value, and no voxel of the brain.

    From here on the image alone says where the brain is: where it is above ``BACKGROUND``.

    Args:
        keys: normalised images.
        mask_key: of the brain mask.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            inside = d[self.mask_key].as_tensor() > 0
            d[key] = torch.where(inside, d[key].clamp(min=BACKGROUND + 1e-3), BACKGROUND)
        return d


class LesionFreeSlicesd(MapTransform):
    """Keep the slices from which a model of healthy anatomy can learn.

    Args:
        keys: volumes, slices along the last axis; left without any slice where none qualifies.
        mask_key: of the brain mask.
        label_key: of the lesion mask, which needs to share the slices only, so that it can keep the pixels of the scan
            and the smallest lesion with them; a volume without one is taken for lesion-free.
        margin: slices to leave out on either side of a slice with a lesion.
        smallest_brain: least brain area, as a share of the volume's largest.
        slices: first and last slice of the scan to take, counted from 0 at its lowest; None for all.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "brain_mask",
        label_key: str = "label",
        margin: int = 2,
        smallest_brain: float = 0.15,
        slices: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.label_key = label_key
        self.margin = margin
        self.smallest_brain = smallest_brain
        self.slices = slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        mask = d[self.mask_key]
        area = torch.as_tensor(mask).sum(dim=(0, 1, 2)).float()
        wanted = area > self.smallest_brain * area.max()
        if self.slices is not None:
            number = torch.arange(len(area)) + mask.meta.get(FIRST_SLICE, 0)
            wanted &= (number >= self.slices[0]) & (number <= self.slices[1])
        label = d.pop(self.label_key, None)
        if label is not None:
            lesion = (torch.as_tensor(label) > 0).any(dim=2).any(dim=1).any(dim=0)
            for z in lesion.nonzero().flatten().tolist():
                wanted[max(0, z - self.margin) : z + self.margin + 1] = False
        for key in self.key_iterator(d):
            d[key] = d[key][..., wanted]
        return d
