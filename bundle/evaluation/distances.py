# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How far the outline of a mask lies from the expert's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

DISTANCES = ("hausdorff_95_mm", "surface_distance_mm")


def outline_distances(mask: torch.Tensor, label: torch.Tensor, spacing: Sequence[float]) -> dict[str, float]:
    """Distances between the surfaces of two masks, as MONAI measures them.

    Args:
        mask: bool volume.
        label: bool volume of the same shape.
        spacing: mm between the voxels of each axis.

    Returns:
        dict: in mm, ``hausdorff_95_mm`` (the larger of the two 95th percentiles, from mask to label and back) and
        ``surface_distance_mm`` (the mean over both surfaces). NaN where a mask is empty: then there is no distance.
    """
    if not (mask.any() and label.any()):
        return dict.fromkeys(DISTANCES, math.nan)
    pair = mask[None, None], label[None, None]
    spacing = list(spacing)
    hausdorff = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    mean = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=spacing)
    return dict(zip(DISTANCES, (float(hausdorff), float(mean))))
