# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scores against expert masks: first those that need no label to set a threshold, then those of the paper."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform

from bundle.evaluation.overlap import overlap
from bundle.evaluation.similarity import healthy_ssim
from bundle.preprocessing.intensities import BACKGROUND


def _counts(mask: torch.Tensor, label: torch.Tensor) -> list[torch.Tensor]:
    """True positives, false positives and false negatives of each slice (the last axis)."""
    pairs = ((mask & label), (mask & ~label), (~mask & label))
    return [pair.flatten(0, -2).sum(dim=0) for pair in pairs]


class MaskScoresd(MapTransform):
    """Score the delivered mask against the label in the label's own grid, as a volume and slice by slice.

    Args:
        keys: of the mask, axes towards left, posterior, superior.
        label_key: of the expert's mask on the same grid.
        pixel_mm: size of the model's pixels, in which the lesion area of a slice is counted.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", pixel_mm: float = 1.875) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.pixel_mm = pixel_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        label = torch.as_tensor(d[self.label_key][0]).cpu() > 0
        spacing = [float(mm) for mm in affine_to_spacing(d[self.label_key].affine)]
        for key in self.key_iterator(d):
            mask = torch.as_tensor(d[key][0]).cpu() > 0
            tp, fp, fn = _counts(mask, label)
            lesion_pixels = (tp + fn) * spacing[0] * spacing[1] / self.pixel_mm**2
            largest = int((tp + fn).argmax())
            millilitres = float(np.prod(spacing)) / 1000.0
            free = (tp + fn) == 0
            d["slice_scores"] = [
                {
                    "slice": z,
                    "lesion_pixels_at_128": round(float(lesion_pixels[z]), 1),
                    **overlap(int(tp[z]), int(fp[z]), int(fn[z])),
                    "false_positive_ml": int(fp[z]) * millilitres,
                }
                for z in range(label.shape[-1])
            ]
            d["scores"] = {
                "lesion_ml": int((tp + fn).sum()) * millilitres,
                "mask_ml": int((tp + fp).sum()) * millilitres,
                **overlap(int(tp.sum()), int(fp.sum()), int(fn.sum())),
                "largest_slice": largest,
                "largest_slice_pixels_at_128": round(float(lesion_pixels[largest]), 1),
                **{
                    f"largest_slice_{name}": value
                    for name, value in overlap(int(tp[largest]), int(fp[largest]), int(fn[largest])).items()
                },
                "false_positive_ml_on_lesion_free_slices": int(fp[free].sum()) * millilitres,
            }
        return d


class ReconstructionScoresd(MapTransform):
    """Score the reconstruction on healthy brain, and keep what the label-chosen thresholds need, on the model's grid.

    Args:
        keys: of the preprocessed image.
        lesion_key: of the label brought to the same grid.
        smallest_brain: a slice counts when its brain area is at least this share of the volume's largest.

    The data gain ``reconstruction_scores`` (healthy SSIM of all slices, and of the one with the largest lesion) and
    ``voxels``: error, intensity and label at each brain voxel, and which of them lie in the largest-lesion slice.
    """

    def __init__(self, keys: KeysCollection, lesion_key: str = "lesion", smallest_brain: float = 0.15) -> None:
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
