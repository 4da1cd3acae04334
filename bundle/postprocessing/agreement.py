# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How much two masks of the same scan agree."""

from __future__ import annotations

import numpy as np


def agreement(mask: np.ndarray, other: np.ndarray) -> float:
    """Dice of two masks with one another; 1 where both are empty.

    Args:
        mask: bool.
        other: bool, the shape of ``mask``.
    """
    both = int(mask.sum()) + int(other.sum())
    return 2 * int((mask & other).sum()) / both if both else 1.0
