# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The part of the slices that has brain in it: the rest need not pass through a network."""

from __future__ import annotations

from monai.transforms import CropForeground
from torch import Tensor


def brain_window(brain: Tensor, multiple: int | None) -> tuple[slice, ...]:
    """The smallest window around all brains whose sides are multiples, as far as the images reach.

    Args:
        brain: bool, B x 1 x H x W (or D x H x W), brain somewhere.
        multiple: which the levels of the networks must divide; None for the whole images.

    Returns:
        tuple: one slice for each axis from the third on.
    """
    if multiple is None:
        return tuple(slice(0, size) for size in brain.shape[2:])
    # MONAI's bounding box takes the images as the channels of one; it may stick out, where it would be padded
    starts, ends = CropForeground(k_divisible=multiple).compute_bounding_box(brain[:, 0])
    window = []
    for start, end, size in zip(starts.tolist(), ends.tolist(), brain.shape[2:]):
        length = min(end - start, size)
        first = min(max(start, 0), size - length)
        window.append(slice(first, first + length))
    return tuple(window)
