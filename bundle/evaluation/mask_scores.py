# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scores of the delivered mask against the expert's, for which no label has set a threshold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform

from bundle.evaluation.components import component_shares, covered_components
from bundle.evaluation.distances import outline_distances
from bundle.evaluation.overlap import overlap_scores


def _counts(mask: torch.Tensor, label: torch.Tensor) -> list[torch.Tensor]:
    """True positives, false positives and false negatives of each slice (the last axis)."""
    pairs = ((mask & label), (mask & ~label), (~mask & label))
    return [pair.flatten(0, -2).sum(dim=0) for pair in pairs]


class MaskScoresd(MapTransform):
    """Score the delivered mask against the label in the label's own grid, as a volume and slice by slice.

    Args:
        keys: of the mask, axes towards left, posterior, superior.
        pixel_mm: size of the model's pixels, in which the lesion area of a slice is counted.
        found_share: a lesion is found when at least this share of it (0 to 1) is marked, and a component of the mask
            is right when at least this share of it is lesion.
        label_key: of the expert's mask on the same grid.

    The data gain ``scores`` (of the volume: overlap from 0 to 1, counts, millilitres and millimetres),
    ``slice_scores`` (one per slice) and ``lesion_scores`` (one per lesion: its volume, the share that is marked,
    and whether that is enough to be found).
    """

    def __init__(self, keys: KeysCollection, pixel_mm: float, found_share: float, label_key: str = "label") -> None:
        super().__init__(keys)
        self.found_share = found_share
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
            sizes, marked = component_shares(label.numpy(), mask.numpy())
            right, components = covered_components(mask.numpy(), label.numpy(), self.found_share)
            d["slice_scores"] = [
                {
                    "slice": z,
                    "lesion_pixels_at_128": round(float(lesion_pixels[z]), 1),
                    **overlap_scores(int(tp[z]), int(fp[z]), int(fn[z])),
                    "false_positive_ml": int(fp[z]) * millilitres,
                }
                for z in range(label.shape[-1])
            ]
            d["lesion_scores"] = [
                {"lesion_ml": int(size) * millilitres, "marked": float(share), "found": bool(share >= self.found_share)}
                for size, share in zip(sizes, marked)
            ]
            d["scores"] = {
                "lesion_ml": int((tp + fn).sum()) * millilitres,
                "mask_ml": int((tp + fp).sum()) * millilitres,
                **overlap_scores(int(tp.sum()), int(fp.sum()), int(fn.sum())),
                **outline_distances(mask, label, spacing),
                "lesions": len(marked),
                "lesions_found": sum(lesion["found"] for lesion in d["lesion_scores"]),
                "components": components,
                "components_right": right,
                "largest_slice": largest,
                "largest_slice_pixels_at_128": round(float(lesion_pixels[largest]), 1),
                **{
                    f"largest_slice_{name}": value
                    for name, value in overlap_scores(int(tp[largest]), int(fp[largest]), int(fn[largest])).items()
                },
                "false_positive_ml_on_lesion_free_slices": int(fp[free].sum()) * millilitres,
            }
        return d
