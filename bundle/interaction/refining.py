# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The slices that prompts touch, looked at again with what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bundle.interaction.state import ScanState
from bundle.model import high_frequency, reconstruction_error
from bundle.model.lesion_score import lesion_score
from bundle.preprocessing import BACKGROUND

# results of each slice that a state remembers, on average
KEPT_PER_SLICE = 4


class Refined(NamedTuple):
    """What the networks find in a scan, given what is known of it; on the grid of the model, H x W x D each.

    Attributes:
        score: see :py:attr:`bundle.interaction.ScanState.score`.
        reconstruction: see :py:attr:`bundle.interaction.ScanState.reconstruction`.
    """

    score: Tensor
    reconstruction: Tensor


def to_model_grid(state: ScanState, known: np.ndarray) -> Tensor:
    """A mask of the scan (bool) on the grid of the model, H x W x D: what lies at the centre of each voxel.

    Of a component that lies at no centre, such as a click, the nearest voxels.
    """
    shape = state.score.shape
    found = torch.zeros(shape, dtype=torch.bool)
    voxels = np.argwhere(known)
    if not len(voxels):
        return found
    components, number = ndimage.label(known, np.ones((3, 3, 3)))
    seen = np.zeros(number + 1, bool)
    there = voxels @ state.to_model[:3, :3].T + state.to_model[:3, 3]
    box = [range(max(0, int(a)), min(n, int(b) + 2)) for a, b, n in zip(there.min(0), there.max(0), shape)]
    grid = np.stack(np.meshgrid(*box, indexing="ij")).reshape(3, -1)
    if grid.size:
        to_scan = np.linalg.inv(state.to_model)
        at = to_scan[:3, :3] @ grid + to_scan[:3, 3:]
        component = ndimage.map_coordinates(components, at, order=0)
        found[tuple(grid[:, component > 0])] = True
        seen[component] = True
    unseen = there[~seen[components[tuple(voxels.T)]]].round().astype(int)
    inside = ((unseen >= 0) & (unseen < shape)).all(axis=1)
    found[tuple(unseen[inside].T)] = True
    return found


def _smoothed(state: ScanState, raw: Tensor) -> Tensor:
    """The score of a volume from that of its slices, both H x W x D."""
    found = {"pred": {"score": raw[None]}, "image": state.data["image"]}
    return torch.as_tensor(state.tools.score_lesions(found)["score"])[0]


def _refined_slices(
    state: ScanState, numbers: Sequence[int], normal: Tensor, lesion: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """What some slices look like, given what is known of each: probability of a lesion, and reconstruction, H x W each.

    A slice that is remembered with the same knowledge is not refined again; the others pass through the networks
    together. Without a judge the error stands for the probability.

    Args:
        state: of the scan.
        numbers: of the slices.
        normal: bool, what is known to be normal in the whole scan, H x W x D.
        lesion: the same of lesions.
    """
    keys = [(n, normal[..., n].numpy().tobytes(), lesion[..., n].numpy().tobytes()) for n in numbers]
    known = {key: state.refined[key] for key in keys if key in state.refined}
    new = [key for key in keys if key not in known]
    if new:
        chosen = torch.tensor([key[0] for key in new])
        known.update(zip(new, _refine(state, chosen, normal[..., chosen], lesion[..., chosen])))
    state.refined.update(known)
    while len(state.refined) > KEPT_PER_SLICE * state.score.shape[-1]:
        state.refined.pop(next(iter(state.refined)), None)
    return [known[key] for key in keys]


def _refine(state: ScanState, numbers: Tensor, normal: Tensor, lesion: Tensor) -> list[tuple[Tensor, Tensor]]:
    tools, network = state.tools, state.network
    device = network.threshold.device
    whole = state.slices[numbers].to(device)
    image, brain = whole[state.window], whole[state.window] > BACKGROUND
    known_normal, known_abnormal = (
        known.movedim(-1, 0)[:, None].to(device)[state.window] for known in (normal, lesion)
    )
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=tools.amp):
        found = network.refine(
            image=image,
            brain_mask=brain,
            seeds=network.seeds_of_slices(state.slices, tools.seed)[numbers].to(device),
            # it goes on from where it ended
            start=(state.hidden[numbers] > 0).to(device)[state.window],
            known_normal=known_normal,
            known_abnormal=known_abnormal,
            detail=high_frequency(whole, network.radius)[state.window],
            batch_size=tools.batch_size,
        )
        probability = network.probability_of_slices(image, found.reconstruction, tools.batch_size)
        if probability is None:
            probability = reconstruction_error(image, found.reconstruction, network.contrast) * brain
    parts = []
    for part, outside in ((probability, 0.0), (found.reconstruction, BACKGROUND)):
        new = torch.full(whole.shape, outside)
        new[state.window] = part.float().cpu()
        parts.append(new[:, 0])
    return list(zip(*parts))


def _slice_scores(state: ScanState, probability: Tensor) -> Tensor:
    """The score as the slices give it, from the judge's probability, H x W x D both."""
    network, window = state.tools.network, state.window
    if network.judge is None:
        return probability
    image, seen = state.slices[window], probability.movedim(-1, 0)[:, None][window]
    # the scale of the intensity is that of the volume
    scored = (network.contrast, network.score_sigma, network.score_limit, network.score)
    score = torch.zeros_like(state.slices)
    score[window] = lesion_score(seen, image, image > BACKGROUND, *scored)
    return score[:, 0].movedim(0, -1)


def refined_again(state: ScanState, known_normal: np.ndarray, known_lesion: np.ndarray) -> Refined:
    """Score and reconstruction, with the slices that something is known of, and their neighbours, refined again.

    What is known to be normal scores 0, what is known to be lesion no less than the threshold of the scan.

    Args:
        state: of the scan.
        known_normal: bool, on the grid of the scan; never hidden, so the refiner sees it.
        known_lesion: bool, on the grid of the scan; always hidden.
    """
    normal, lesion = (to_model_grid(state, known) for known in (known_normal, known_lesion))
    touched = (normal | lesion).flatten(0, 1).any(dim=0)
    if not touched.any():
        return Refined(state.score, state.reconstruction)
    touched = torch.from_numpy(ndimage.binary_dilation(touched.numpy()))
    probability, reconstruction = torch.zeros_like(state.score), state.reconstruction.clone()
    numbers = touched.nonzero().flatten().tolist()
    for number, slices in zip(numbers, _refined_slices(state, numbers, normal, lesion)):
        probability[..., number], reconstruction[..., number] = slices
    raw = torch.where(touched, _slice_scores(state, probability), state.slice_score)
    score = raw if state.tools.network.judge is None else _smoothed(state, raw)
    score[normal] = 0.0
    score[lesion] = score[lesion].clamp(min=state.threshold)
    return Refined(score, reconstruction)
