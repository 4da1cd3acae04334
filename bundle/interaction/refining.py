# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The slices that prompts touch, looked at again with what is known of them."""

from __future__ import annotations

from types import EllipsisType

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bundle.interaction.state import ScanState
from bundle.model import brain_window, high_frequency, reconstruction_error
from bundle.model.lesion_score import lesion_score
from bundle.preprocessing import BACKGROUND


def to_model_grid(state: ScanState, known: np.ndarray) -> Tensor:
    """A mask of the scan (bool) on the grid of the model, H x W x D: what lies at the centre of each voxel."""
    shape = state.score.shape
    found = torch.zeros(shape, dtype=torch.bool)
    voxels = np.argwhere(known)
    if not len(voxels):
        return found
    there = voxels @ state.to_model[:3, :3].T + state.to_model[:3, 3]
    box = [range(max(0, int(a)), min(n, int(b) + 2)) for a, b, n in zip(there.min(0), there.max(0), shape)]
    grid = np.stack(np.meshgrid(*box, indexing="ij")).reshape(3, -1)
    if grid.size:
        to_scan = np.linalg.inv(state.to_model)
        at = to_scan[:3, :3] @ grid + to_scan[:3, 3:]
        found[tuple(grid[:, ndimage.map_coordinates(known.astype(np.uint8), at, order=0) > 0])] = True
    return found


def _slices(volume: Tensor) -> Tensor:
    """From H x W x D to D x 1 x H x W."""
    return volume.movedim(-1, 0)[:, None]


def _smoothed(state: ScanState, raw: Tensor) -> Tensor:
    """The score of a volume from that of its slices, both H x W x D."""
    return torch.as_tensor(state.tools.score_lesions({"pred": {"score": raw[None]}})["score"])[0]


def _new_score(state: ScanState, raw: Tensor, touched: Tensor) -> Tensor:
    """The score of the scan, H x W x D, where that of some slices is new.

    Args:
        state: of the scan.
        raw: the new score, as the slices gave it, H x W x D.
        touched: bool, which slices are new.
    """
    before = state.slice_score
    score = state.score.clone()
    # smoothing reaches the slices beside
    groups, number = ndimage.label(ndimage.binary_dilation(touched.numpy(), iterations=2))
    for group in range(1, number + 1):
        part = torch.from_numpy(groups == group).nonzero().flatten()
        after = torch.where(touched[part], raw[..., part], before[..., part])
        change = _smoothed(state, after) - _smoothed(state, before[..., part])
        # what is at the end of a group did not see its neighbours, and did not change
        score[..., part] = (score[..., part] + change).clamp(min=0)
    return score


def refined_again(state: ScanState, known_normal: np.ndarray, known_lesion: np.ndarray) -> tuple[Tensor, Tensor]:
    """Score and reconstruction, with the slices that something is known of, and their neighbours, refined again.

    Args:
        state: of the scan.
        known_normal: bool, on the grid of the scan; never hidden, so the refiner sees it.
        known_lesion: bool, on the grid of the scan; always hidden.

    Returns:
        tuple: of :py:attr:`ScanState.score` and :py:attr:`ScanState.reconstruction`, both with new slices.
    """
    tools, network = state.tools, state.tools.network
    device = network.threshold.device
    normal, lesion = (_slices(to_model_grid(state, known)) for known in (known_normal, known_lesion))
    seen = (normal | lesion).flatten(1).any(dim=1)
    if not seen.any():
        return state.score, state.reconstruction
    touched = torch.from_numpy(ndimage.binary_dilation(seen.numpy()))
    numbers = touched.nonzero().flatten()
    slices = _slices(torch.as_tensor(state.data["image"])[0]).to(device)
    window: tuple[EllipsisType | slice, ...] = (..., *brain_window(slices > BACKGROUND, tools.crop_multiple))
    image, brain = slices[window], slices[window] > BACKGROUND
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=tools.amp):
        found = network.refine(
            image=image[numbers],
            brain_mask=brain[numbers],
            seeds=numbers.to(device) + 1_000_000 * tools.seed,
            known_normal=normal[numbers].to(device)[window],
            known_abnormal=lesion[numbers].to(device)[window],
            detail=high_frequency(slices[numbers], network.radius)[window],
        )
        if network.judge is None:
            raw = reconstruction_error(image[numbers], found.reconstruction, network.contrast) * brain[numbers]
        else:
            # the scale of the intensity is that of the volume
            probability = torch.zeros_like(image)
            probability[numbers] = network.lesion_probability(image[numbers], found.reconstruction)
            scored = (network.contrast, network.score_sigma, network.score_limit, network.score)
            raw = lesion_score(probability, image, brain, *scored)[numbers]
    scores, reconstructions = _slices(state.slice_score).clone(), _slices(state.reconstruction).clone()
    for whole, part in ((scores, raw), (reconstructions, found.reconstruction)):
        new = whole[numbers]
        new[window] = part.float().cpu()
        whole[numbers] = new
    score = scores[:, 0].movedim(0, -1)
    if network.judge is not None:
        score = _new_score(state, score, touched)
    return score, reconstructions[:, 0].movedim(0, -1)
