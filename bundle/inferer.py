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
from bundle.refinement import reconstruction_error
from bundle.transforms import BACKGROUND


class IterativeMaskInferer(Inferer):
    """Find lesions in preprocessed volumes: their slices, refined in batches, become volumes again.

    Args:
        batch_size: slices refined together; limits the memory that is needed.
        seed: of the noise; each slice has its own noise, a function of this seed and of its place in the volume.
        progress: whether to show a progress bar over the slices.
    """

    def __init__(self, batch_size: int = 32, seed: int = 0, progress: bool = False) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.progress = progress

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """
        Args:
            inputs: B x 1 x H x W x D, normalised intensities, ``BACKGROUND`` exactly where there is no brain.
            network: a calibrated :py:class:`bundle.refinement.IterMaskNet`, or its TorchScript.

        Returns:
            Tensor: B x 5 x H x W x D, float32: the lesion mask (0 or 1), the squared error of the last reconstruction
            within the brain (in the direction of the network's ``contrast``), that reconstruction, for how many
            iterations each voxel was hidden, and the error of the initial network. Its meta data gain ``threshold``
            (the one used) and ``refinement_seconds``, lists with one entry a volume.

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
        slices = volumes.movedim(-1, 1).flatten(0, 1)
        seeds = torch.arange(volumes.shape[-1], device=slices.device).repeat(volumes.shape[0]) + 1_000_000 * self.seed
        results = []
        with tqdm(total=len(slices), desc="Refining", unit="slice", disable=not self.progress, leave=False) as bar:
            for image, numbers in zip(slices.split(self.batch_size), seeds.split(self.batch_size)):
                brain = image > BACKGROUND
                found = network.refine(image, brain, numbers, None, None, None, None, None)
                error = reconstruction_error(image, found.reconstruction, network.contrast) * brain
                channels = [found.mask, error, found.reconstruction, found.hidden_iterations, found.initial_error]
                results.append(torch.cat([channel.float() for channel in channels], dim=1))
                bar.update(len(image))
        result = torch.cat(results).unflatten(0, (volumes.shape[0], volumes.shape[-1])).movedim(1, -1)
        packed = convert_to_dst_type(result, inputs)[0]
        if isinstance(packed, MetaTensor):
            # one entry a volume, as everything in the meta data of a batch
            packed.meta["threshold"] = [float(network.threshold)] * len(volumes)
            packed.meta["refinement_seconds"] = [time.perf_counter() - started] * len(volumes)
        return packed
