# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A MONAI inferer for whole volumes around the refinement of slices."""

from __future__ import annotations

import time
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch import Tensor, nn
from tqdm import tqdm

from bundle.errors import InputError
from bundle.model.contrast import reconstruction_error
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.lesion_score import lesion_score
from bundle.preprocessing.intensities import BACKGROUND


class IterativeMaskInferer(Inferer):
    """Find lesions in preprocessed volumes: their slices, refined in batches, become volumes again.

    Args:
        batch_size: slices refined together; limits the memory that is needed.
        seed: of the noise; each slice has its own noise, a function of this seed and of its place in the volume.
        progress: whether to show a progress bar over the slices.
        crop_multiple: leave out the rows and columns of a volume that hold no brain, and keep a multiple of so many, as
            :py:class:`bundle.training.batches.PrepareMaskedBatch` does. None to keep them all, as the published method
            does.
    """

    def __init__(
        self, batch_size: int = 32, seed: int = 0, progress: bool = False, crop_multiple: int | None = None
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.crop_multiple = crop_multiple
        self.progress = progress

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """
        Args:
            inputs: B x 1 x H x W x D, normalised intensities, ``BACKGROUND`` exactly where there is no brain.
            network: a calibrated :py:class:`bundle.model.refinement.IterMaskNet`, or its TorchScript.

        Returns:
            Tensor: B x 5 x H x W x D, float32: the mask that the refinement left (0 or 1), the squared error of the
            last reconstruction within the brain (in the direction of the network's ``contrast``), that reconstruction,
            for how many iterations each voxel was hidden, and the error of the initial network; with a judge a sixth
            channel, the score of :py:func:`bundle.model.lesion_score.lesion_score`. Its meta data gain ``threshold``
            and ``lesion_threshold`` (those of the network) and ``refinement_seconds``, lists with one entry a volume.

        Raises:
            InputError: when the network's threshold is not calibrated.
        """
        if bool(torch.isnan(network.threshold)):
            raise InputError(
                "The model has no threshold: calibrate it on healthy scans with configs/calibrate.json, "
                "then give the checkpoint that this writes as --ckpt_path."
            )
        started = time.perf_counter()
        volumes = torch.as_tensor(inputs)
        total = len(volumes) * volumes.shape[-1]
        with tqdm(total=total, desc="Refining", unit="slice", disable=not self.progress, leave=False) as bar:
            result = torch.stack([self._refined(volume, network, bar) for volume in volumes])
        packed = convert_to_dst_type(result, inputs)[0]
        if isinstance(packed, MetaTensor):
            # one entry a volume, as everything in the meta data of a batch
            packed.meta["threshold"] = [float(network.threshold)] * len(volumes)
            if network.judge is not None:
                packed.meta["lesion_threshold"] = [float(network.lesion_threshold)] * len(volumes)
            packed.meta["refinement_seconds"] = [time.perf_counter() - started] * len(volumes)
        return packed

    def _refined(self, volume: Tensor, network: nn.Module, bar: tqdm) -> Tensor:
        """From 1 x H x W x D to the channels of the result, C x H x W x D."""
        slices = volume.movedim(-1, 0)
        window = (..., *brain_window(slices > BACKGROUND, self.crop_multiple))
        seeds = torch.arange(len(slices), device=slices.device) + 1_000_000 * self.seed
        results = []
        for whole, numbers in zip(slices.split(self.batch_size), seeds.split(self.batch_size)):
            # frequencies are those of the whole slice
            image, detail = whole[window], high_frequency(whole, network.radius)[window]
            brain = image > BACKGROUND
            found = network.refine(image, brain, numbers, None, None, None, None, None, None, detail)
            error = reconstruction_error(image, found.reconstruction, network.contrast) * brain
            channels = [found.mask, error, found.reconstruction, found.hidden_iterations, found.initial_error]
            if network.judge is not None:
                channels.append(network.lesion_probability(image, found.reconstruction))
            results.append(torch.cat([channel.float() for channel in channels], dim=1))
            bar.update(len(image))
        refined = torch.cat(results)
        if network.judge is not None:
            image = slices[window]
            refined[:, 5:] = lesion_score(refined[:, 5:], image, image > BACKGROUND, network.contrast)
        result = refined.new_zeros(len(slices), refined.shape[1], *slices.shape[2:])
        result[:, 2] = BACKGROUND
        result[window] = refined
        return result.movedim(0, -1)
