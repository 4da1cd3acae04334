# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The refinement as the authors' program runs it, to compare with."""

from __future__ import annotations

from types import EllipsisType

import torch
from torch import Tensor

from bundle.model import IterMaskNet, VolumeResult, addressed_noise, reconstruction_error, start_mask
from bundle.model.lesion_score import lesion_score
from bundle.preprocessing import BACKGROUND

# slices that are in a network at once: all of them would need several gigabytes
TOGETHER = 32


def plain_loop(model: IterMaskNet, image: Tensor, detail: Tensor, window: tuple[slice, ...], seed: int) -> VolumeResult:
    """Refine all slices of a volume until the last one stops, on the whole canvas.

    Args:
        model: whose networks are used as they are, in float32.
        image: normalised intensities, D x 1 x H x W.
        detail: the high-frequency image, the shape of ``image``.
        window: rows and columns whose noise is that of the bundle's refinement; no brain lies outside of it.
        seed: of the noise.

    Returns:
        VolumeResult: as of :py:meth:`bundle.model.IterMaskNet.find_lesions`, what a slice is when it stops by itself.
    """

    def network(net: torch.nn.Module, x: Tensor) -> Tensor:
        return torch.cat([net(part) for part in x.split(TOGETHER)])

    brain = image > BACKGROUND
    seeds = model.seeds_of_slices(image, seed)
    error = reconstruction_error(image, network(model.initial, detail), model.contrast) * brain
    mask = start_mask(error, brain, model.start_fraction)
    result, reconstruction = mask.clone(), image.clone()
    stopped = torch.zeros(len(image), dtype=torch.bool, device=image.device)
    hidden = torch.zeros_like(image)
    part: tuple[EllipsisType | slice, ...] = (..., *window)
    for step in range(model.max_iterations):
        fill = torch.zeros_like(image)
        fill[part] = addressed_noise(seeds, torch.tensor(step, device=image.device), image[part])
        visible = torch.where(mask, fill, image)
        painted = network(model.refiner, torch.cat([visible, detail], dim=1))
        shrunk = ~(reconstruction_error(image, painted, model.contrast) <= model.threshold) & mask
        before = mask.flatten(1).sum(dim=1)
        stops = (before - shrunk.flatten(1).sum(dim=1)) / before.clamp(min=1) < model.stop_ratio
        going = ~stopped
        result[going], reconstruction[going] = mask[going], painted[going]
        hidden[going] += mask[going]
        stopped |= stops
        if stopped.all():
            break
        mask = shrunk
    score = probability = None
    if model.judge is not None:
        pairs = zip(image.split(TOGETHER), reconstruction.split(TOGETHER))
        probability = torch.cat([model.lesion_probability(*pair) for pair in pairs])
        scored = (model.contrast, model.score_sigma, model.score_limit, model.score)
        score = lesion_score(probability, image, brain, *scored)
    last = reconstruction_error(image, reconstruction, model.contrast) * brain
    return VolumeResult(result.float(), last, reconstruction, hidden, error, score, probability)
