# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the intensities of a scanner to those of the networks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.errors import InputError

# normalised intensity of everything that is not brain; no brain voxel has it
BACKGROUND = -3.0


class NormalizeBrainIntensityd(MapTransform):
    """Map 0 to -3 and a high percentile of the brain's intensities to +3, without clipping (paper section 3.1).

    What is not brain becomes exactly -3 before anything is averaged: a head with a brain mask gives what the same head
    without its skull gives.

    The percentile goes into the meta data as ``intensity_high``, so that
    :py:class:`bundle.postprocessing.to_scan.RestoreIntensityd` can undo this.

    Args:
        keys: images.
        percentile: of the brain voxels.
        mask_key: of the brain mask.

    Raises:
        InputError: when the percentile is not positive.
    """

    def __init__(self, keys: KeysCollection, percentile: float, mask_key: str = "brain_mask") -> None:
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
            inside = d[self.mask_key].as_tensor() > 0
            d[key] = torch.where(inside, (image / high - 0.5) * (-2 * BACKGROUND), BACKGROUND)
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
