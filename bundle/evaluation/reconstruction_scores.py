# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How like the scan its reconstruction is on healthy brain, and the voxels by which labels choose thresholds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.evaluation.similarity import healthy_ssim
from bundle.preprocessing.intensities import BACKGROUND


class ReconstructionScoresd(MapTransform):
    """Score the reconstruction on healthy brain, and keep what the label-chosen thresholds need, on the model's grid.

    Args:
        keys: of the preprocessed image.
        smallest_brain: a slice counts when its brain area is at least this share of the volume's largest.
        lesion_key: of the label brought to the same grid.

    The data gain ``reconstruction_scores`` (healthy SSIM of all slices, and of the one with the largest lesion) and
    ``voxels``: error, intensity and label at each brain voxel, and which of them lie in the largest-lesion slice.
    """

    def __init__(self, keys: KeysCollection, smallest_brain: float, lesion_key: str = "lesion") -> None:
        super().__init__(keys)
        self.lesion_key = lesion_key
        self.smallest_brain = smallest_brain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            # slices first: D x 1 x H x W
            image, error, reconstruction, lesion = (
                torch.as_tensor(d[name]).cpu().movedim(-1, 0)
                for name in (key, "error", "reconstruction", self.lesion_key)
            )
            brain, lesion = image > BACKGROUND, lesion > 0
            area = brain.flatten(1).sum(dim=1)
            counted = area >= self.smallest_brain * area.max()
            ssim = healthy_ssim(image, reconstruction, brain & ~lesion)
            largest = int(lesion.flatten(1).sum(dim=1).argmax())
            d["reconstruction_scores"] = {
                "healthy_ssim": float(ssim[counted].nanmean()),
                "largest_slice_healthy_ssim": float(ssim[largest]) if bool(lesion.any()) else math.nan,
            }
            in_largest = torch.zeros_like(brain)
            in_largest[largest] = True
            d["voxels"] = {
                name: values[brain].numpy()
                for name, values in (
                    ("error", error),
                    ("intensity", image),
                    ("lesion", lesion),
                    ("in_largest_slice", in_largest),
                )
            }
            d["largest_slice_image"] = image[largest : largest + 1]
            d["largest_slice_lesion"] = lesion[largest : largest + 1]
        return d
