# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A MONAI inferer for whole volumes around the refinement of slices."""

from __future__ import annotations

import time
from types import EllipsisType
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

from bundle.errors import InputError
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.inference_network import cpu_dtype, for_inference
from bundle.model.refinement import IterMaskNet, VolumeResult
from bundle.model.side_by_side import find_side_by_side
from bundle.preprocessing.intensities import BACKGROUND


class IterativeMaskInferer(Inferer):
    """Find lesions in preprocessed volumes.

    Args:
        batch_size: slices refined together; limits the memory that is needed.
        seed: of the noise; each slice has its own noise, a function of this seed and of its place in the volume.
        crop_multiple: leave out the rows and columns of a volume that hold no brain, and keep a multiple of so many, as
            :py:class:`bundle.training.batches.PrepareMaskedBatch` does. None to keep them all, as the published method
            does.
        cpu_precision: of the networks on a CPU, see :py:func:`bundle.model.inference_network.cpu_dtype`.
    """

    def __init__(self, batch_size: int, seed: int, crop_multiple: int | None, cpu_precision: str) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.crop_multiple = crop_multiple
        self.cpu_precision = cpu_precision

    def __call__(self, inputs: Tensor, network: IterMaskNet, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """
        Args:
            inputs: B x 1 x H x W x D, normalised intensities, ``BACKGROUND`` exactly where there is no brain.
            network: a calibrated :py:class:`bundle.model.refinement.IterMaskNet`, or its TorchScript.

        Returns:
            dict: the volumes of :py:class:`bundle.model.refinement.VolumeResult` by name, B x 1 x H x W x D each, with
            the meta data of ``inputs``; ``score`` from a model with a judge alone. And ``refinement``, a dictionary of
            tensors of shape B: ``threshold``, ``lesion_threshold`` (with a judge) and ``seconds``.

        Raises:
            InputError: when the network's threshold is not calibrated.
        """
        if bool(torch.isnan(network.threshold)):
            raise InputError(
                "The model has no threshold: set it with itermask2 calibrate, then give the checkpoint that this "
                "writes as --ckpt_path."
            )
        # meta data would be carried through every layer
        volumes = convert_to_tensor(inputs, track_meta=False)
        found: list[dict[str, Tensor]] = []
        seconds: list[float] = []
        for volume in volumes:
            started = time.perf_counter()
            found.append(self._found(volume, network))
            seconds.append(time.perf_counter() - started)
        figures = {"threshold": float(network.threshold)}
        if network.judge is not None:
            figures["lesion_threshold"] = float(network.lesion_threshold)
        return {
            **{
                name: convert_to_dst_type(torch.stack([volume[name] for volume in found]), inputs)[0]
                for name in found[0]
            },
            "refinement": {
                **{name: torch.full((len(volumes),), v, dtype=torch.float64) for name, v in figures.items()},
                "seconds": torch.tensor(seconds, dtype=torch.float64),
            },
        }

    def _found(self, volume: Tensor, network: IterMaskNet) -> dict[str, Tensor]:
        """From 1 x H x W x D to the volumes of the result, 1 x H x W x D each."""
        slices = volume.movedim(-1, 0)
        window: tuple[EllipsisType | slice, ...] = (..., *brain_window(slices > BACKGROUND, self.crop_multiple))
        # frequencies are those of the whole slice
        image, detail = slices[window], high_frequency(slices, network.radius)[window]
        search = image, image > BACKGROUND, detail, self.seed, self.batch_size
        if slices.device.type == "cpu" and isinstance(network, IterMaskNet):
            result = find_side_by_side(for_inference(network, cpu_dtype(self.cpu_precision)), *search)
        else:
            result = network.find_lesions(*search)
        found = {}
        # TorchScript gives a tuple of another class
        for name, part in zip(VolumeResult._fields, result):
            if part is not None:
                whole = torch.full(slices.shape, BACKGROUND if name == "reconstruction" else 0.0, device=slices.device)
                whole[window] = part
                found[name] = whole.movedim(0, -1)
        return found
