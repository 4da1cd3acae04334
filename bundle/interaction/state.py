# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A scan that is ready for clicks: all that was found in it, and what is needed to look at a part of it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.utils import affine_to_spacing
from monai.utils import convert_to_dst_type
from torch import Tensor

from bundle.model import brain_window
from bundle.model.inference_network import cpu_dtype, for_inference
from bundle.model.refinement import IterMaskNet
from bundle.preprocessing import BACKGROUND


class Tools(NamedTuple):
    """What answers are made with, the same for all scans.

    Attributes:
        network: with its weights, on its device.
        rule: the numbers of the rule of a click, see :py:func:`bundle.interaction.region.click_region`; ``octaves``,
            see :py:func:`bundle.interaction.region.octaves`; and ``filled``, the share of a mask that may score lower
            than its threshold, because holes are filled.
        seed: of the noise, see :py:class:`bundle.model.IterativeMaskInferer`.
        batch_size: see there.
        crop_multiple: see there.
        amp: whether the network runs in half precision on a GPU.
        cpu_precision: on a CPU, see :py:class:`bundle.model.IterativeMaskInferer`.
        score_lesions: transform from the scores of slices to the score of a volume.
        restore: transform that gives ``reconstruction`` the intensities of the scan.
        to_scan: transform that takes ``score`` and ``reconstruction`` to the grid of the scan.
        describe: transform that adds the statistics of the mask.
    """

    network: IterMaskNet
    rule: Mapping[str, Any]
    seed: int
    batch_size: int
    crop_multiple: int | None
    amp: bool
    cpu_precision: str
    score_lesions: Callable
    restore: Callable
    to_scan: Callable
    describe: Callable


@dataclass(eq=False)
class ScanState:
    """What is kept of a scan between clicks; nothing in it changes but what is remembered to save time.

    Args:
        data: of the scan, as it is before its results are written: ``image``, ``score``, ``refined_mask`` and
            ``model_reconstruction`` on the grid of the model; ``scan``, ``scan_brain`` and ``pred`` on that of the
            scan.
        tools: that answers are made with.
        refined: slices that were refined again, by what was known of them.
    """

    data: Mapping[Any, Any]
    tools: Tools
    refined: dict[tuple[int, bytes, bytes], tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @cached_property
    def network(self) -> IterMaskNet:
        """The network as the first search ran it: on a CPU its quick form."""
        network = self.tools.network
        if network.threshold.device.type != "cpu":
            return network
        return for_inference(network, cpu_dtype(self.tools.cpu_precision))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the scan along its axes, as it is stored."""
        return tuple(self.data["scan"].shape[1:])

    @property
    def affine(self) -> np.ndarray:
        """From voxels of the scan to millimetres, 4 x 4."""
        return np.asarray(self.data["scan"].affine, dtype=float)

    @cached_property
    def spacing(self) -> np.ndarray:
        """Millimetres from voxel to voxel along each axis of the scan."""
        return np.asarray(affine_to_spacing(self.affine), dtype=float)

    @cached_property
    def scan(self) -> np.ndarray:
        """The intensities of the scan, float32, as it is stored."""
        return np.asarray(torch.as_tensor(self.data["scan"])[0].cpu(), dtype=np.float32)

    @cached_property
    def brain(self) -> np.ndarray:
        """Where the brain is (bool), on the grid of the scan."""
        return np.asarray(torch.as_tensor(self.data["scan_brain"])[0].cpu()) > 0

    @cached_property
    def intensity_scale(self) -> float:
        """The interquartile range of the brain's intensities."""
        low, high = np.percentile(self.scan[self.brain], (25, 75))
        return float(max(high - low, 1e-6))

    @cached_property
    def lesion_intensity(self) -> np.ndarray:
        """The intensities of the scan in interquartile ranges of the brain, higher where lesions are to be expected."""
        scaled = self.scan / self.intensity_scale
        if self.tools.network.contrast == "dark":
            return -scaled
        if self.tools.network.contrast == "any":
            return np.abs(scaled - np.median(scaled[self.brain]))
        return scaled

    @cached_property
    def mask(self) -> np.ndarray:
        """The mask without a prompt, uint8, on the grid of the scan."""
        return np.asarray(torch.as_tensor(self.data["pred"])[0].cpu()).astype(np.uint8)

    @cached_property
    def slices(self) -> Tensor:
        """What the networks see, D x 1 x H x W."""
        return torch.as_tensor(self.data["image"])[0].movedim(-1, 0)[:, None].cpu()

    @cached_property
    def hidden(self) -> Tensor:
        """What the refinement had left hidden, D x 1 x H x W."""
        return torch.as_tensor(self.data["refined_mask"])[0].movedim(-1, 0)[:, None].cpu()

    @cached_property
    def window(self) -> tuple[EllipsisType | slice, ...]:
        """The part of the slices that passes through the networks."""
        return (..., *brain_window(self.slices > BACKGROUND, self.tools.crop_multiple))

    @property
    def score(self) -> Tensor:
        """The lesion score, or from a model without a judge the error; on the grid of the model, H x W x D."""
        return torch.as_tensor(self.data["score" if "score" in self.data else "error"])[0].cpu()

    @property
    def slice_score(self) -> Tensor:
        """:py:attr:`score`, as the slices gave it."""
        return torch.as_tensor(self.data["slice_score"])[0].cpu() if "slice_score" in self.data else self.score

    @property
    def reconstruction(self) -> Tensor:
        """The last reconstruction, on the grid and in the intensities of the model, H x W x D."""
        return torch.as_tensor(self.data["model_reconstruction"])[0].cpu()

    @cached_property
    def threshold(self) -> float:
        """The score at which the mask ends; of what is marked the share ``filled`` scores lower."""
        inside = self.score[torch.as_tensor(self.data["model_mask"])[0].cpu() > 0]
        lowest = float(self.data["refinement"].get("lesion_threshold", self.data["refinement"]["threshold"]))
        return max(lowest, float(inside.quantile(self.tools.rule["filled"]))) if len(inside) else lowest

    @cached_property
    def to_model(self) -> np.ndarray:
        """From voxels of the scan to voxels of the grid of the model, 4 x 4."""
        return np.linalg.inv(np.asarray(self.data["image"].affine, dtype=float)) @ self.affine

    def on_scan(self, score: Tensor, reconstruction: Tensor) -> dict[str, np.ndarray]:
        """Score and reconstruction, both H x W x D on the grid of the model, as files of a case have them.

        Returns:
            dict: ``score`` and ``reconstruction`` with the intensities of the scan, float32, on the grid of the scan.
        """
        like = self.data["model_reconstruction"]
        volumes = {"score": score, "reconstruction": reconstruction}
        found = {name: convert_to_dst_type(volume[None], like)[0] for name, volume in volumes.items()}
        there = self.tools.to_scan(self.tools.restore({"image": self.data["image"], **found}))
        return {name: np.asarray(torch.as_tensor(there[name])[0].cpu(), dtype=np.float32) for name in found}

    @cached_property
    def score_on_scan(self) -> np.ndarray:
        """:py:attr:`score`, float32, on the grid of the scan."""
        return self.on_scan(self.score, self.reconstruction)["score"]
