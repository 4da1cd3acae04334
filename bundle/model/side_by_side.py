# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The slices of a volume refined by several threads of a CPU, each with slices of its own.

The networks are narrow: two threads in one convolution are hardly faster than one, two batches at once nearly twice.
And threads that share a convolution wait for each other at its end, so that a busy neighbour of one holds up all.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from bundle.model.refinement import IterMaskNet, RefinementResult, VolumeResult


def find_side_by_side(
    model: IterMaskNet, image: Tensor, brain_mask: Tensor, detail: Tensor, seed: int, batch_size: int
) -> VolumeResult:
    """What :py:meth:`bundle.model.refinement.IterMaskNet.find_lesions` finds, by as many threads as torch has.

    Args:
        model: as that of ``find_lesions``.
        image: the slices of one volume, as the others.
        brain_mask: bool.
        detail: the high-frequency image.
        seed: of the noise.
        batch_size: slices in a network at once, in each thread.
    """
    torch_threads = torch.get_num_threads()
    number = min(torch_threads, len(image))
    if image.device.type != "cpu" or number < 2 or torch.is_autocast_enabled("cpu"):
        return model.find_lesions(image, brain_mask, detail, seed, batch_size)
    seeds = model.seeds_of_slices(image, seed)

    def found_in(part: slice) -> tuple[RefinementResult, Tensor | None]:
        # what a thread sets holds for itself, and for those that begin later
        torch.set_num_threads(1)
        with torch.no_grad():
            found = model.refine(image[part], brain_mask[part], seeds[part], detail=detail[part], batch_size=batch_size)
            return found, model.probability_of_slices(image[part], found.reconstruction, batch_size)

    # neighbours take about as long
    parts = [slice(first, None, number) for first in range(number)]
    try:
        with ThreadPoolExecutor(number) as threads:
            shares = list(threads.map(found_in, parts))
    finally:
        torch.set_num_threads(torch_threads)

    def joined(of_parts: list[Tensor]) -> Tensor:
        whole = torch.empty(len(image), *of_parts[0].shape[1:], dtype=of_parts[0].dtype)
        for part, values in zip(parts, of_parts):
            whole[part] = values
        return whole

    found = RefinementResult(*(joined(list(values)) for values in zip(*(found for found, _ in shares))))
    probabilities = [probability for _, probability in shares if probability is not None]
    return model.volume_result(image, brain_mask, found, joined(probabilities) if probabilities else None)
