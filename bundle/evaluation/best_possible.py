# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The best mask that any threshold would have given (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.model.contrast import reconstruction_error
from bundle.model.frequency import high_frequency
from bundle.model.refinement import IterMaskNet, start_mask
from bundle.preprocessing.intensities import BACKGROUND


def best_possible_dice(
    model: IterMaskNet,
    image: torch.Tensor,
    lesion: torch.Tensor,
    step: float,
    fractions: Sequence[float],
    last: float,
) -> torch.Tensor:
    """The best mask that any start fraction and any rising threshold would have given (paper section 3.1).

    From each start fraction the mask is refined with a threshold of ``step``; whenever no image shrinks any more the
    threshold rises by ``step``, up to ``last``.

    Args:
        model: that was evaluated.
        image: normalised slices, B x 1 x H x W.
        lesion: bool, the shape of ``image``.
        step: by which the threshold rises; the paper's is 0.001.
        fractions: of the brain that are hidden at the start, of which the best counts.
        last: highest threshold that is tried.

    Returns:
        Tensor: the best Dice of each image, shape B; chosen with the label, and NaN without a lesion.
    """
    diseased = lesion.flatten(1).any(dim=1)
    if not bool(diseased.any()):
        return torch.full((len(image),), torch.nan, device=image.device)
    brain = image > BACKGROUND
    seeds = torch.arange(len(image), device=image.device)
    initial = model.initial(high_frequency(image, model.radius)).float()
    error = reconstruction_error(image, initial, model.contrast)
    best = torch.zeros(len(image), device=image.device)
    for fraction in fractions:
        mask = start_mask(error, brain, fraction)
        for i in range(1, round(last / step) + 1):
            threshold = torch.tensor(i * step, device=image.device)
            mask = model.refine(image, brain, seeds, start=mask, threshold=threshold).mask
            shared = (mask & lesion).flatten(1).sum(dim=1)
            dice = 2 * shared / (mask.flatten(1).sum(dim=1) + lesion.flatten(1).sum(dim=1)).clamp(min=1)
            best = torch.maximum(best, dice)
            if not bool(mask.any()):
                break
    return best.where(diseased, torch.nan)
