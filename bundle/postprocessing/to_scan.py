# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the grid and intensities of the model back to those of the scan."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import copy
from typing import Any, cast

import torch
from monai.config import KeysCollection
from monai.transforms import Compose, Invertd, MapTransform
from monai.transforms.utils import convert_applied_interp_mode

from bundle.postprocessing.second_pass import COIL_FIELD
from bundle.preprocessing.intensities import BACKGROUND


class RestoreIntensityd(MapTransform):
    """Give back the intensities of the scan, 0 outside the brain.

    Undoes :py:class:`bundle.preprocessing.intensities.NormalizeBrainIntensityd`, and where the coil's brightness was
    taken out :py:class:`bundle.postprocessing.second_pass.TakeFieldOutd`.

    Args:
        keys: normalised volumes on the grid of the image.
        image_key: of the preprocessed image, whose meta data hold ``intensity_high``.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        for key in self.key_iterator(d):
            restored = (d[key] / (-2 * BACKGROUND) + 0.5) * float(image.meta["intensity_high"])
            if COIL_FIELD in image.meta:
                restored = restored * torch.as_tensor(image.meta[COIL_FIELD]).to(restored.device)
            d[key] = torch.where(image.as_tensor().to(restored.device) > BACKGROUND, restored.clamp(min=0), 0.0)
        return d


class InvertLinearlyd(Invertd):
    """MONAI's ``Invertd`` that interpolates linearly, whatever the mode of the forward transforms was.

    Area averaging, right for shrinking an image, would give visible blocks on the way back.

    Each call works with its own copies of the forward transforms, so that several threads can invert at once:
    ``Invertd`` switches ``allow_missing_keys`` of the transforms on and off, which others may be using.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in set(self.orig_keys):
            reference = d[key].clone()
            reference.applied_operations = convert_applied_interp_mode(
                d[key].applied_operations, mode="trilinear", align_corners=False
            )
            d[key] = reference
        own = copy(self)
        own.transform = Compose([copy(one) for one in cast(Compose, self.transform).flatten().transforms])
        inverted = Invertd.__call__(own, d)
        return {**inverted, **{key: data[key] for key in set(self.orig_keys)}}
