# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From a batch of lesion-free slices to the input and the label of the networks (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor

from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.refinement import IterMaskNet
from bundle.preprocessing.intensities import BACKGROUND
from bundle.training.fields import other_contrast, scanned
from bundle.training.random_masks import training_masks
from bundle.training.small_lesions import paint_small_lesions
from bundle.training.synthetic_lesions import paint_lesions


class PrepareSlices(PrepareBatch):
    """From a batch of slices to the image and the brain mask from which :py:meth:`prepare` makes inputs and label."""

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        image = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking, **kwargs)
        return self.prepare(image, image > BACKGROUND, batchdata)

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Appearance:
    """How the slices that networks see differ from healthy ones: lesions, another contrast, another scanner.

    What is None is left out, and draws no random number.

    Args:
        lesions: hyper-parameters of :py:func:`bundle.training.synthetic_lesions.paint_lesions`.
        small_lesions: hyper-parameters of :py:func:`bundle.training.small_lesions.paint_small_lesions`.
        scanner: hyper-parameters of :py:func:`bundle.training.fields.scanned`.
        contrast_change: hyper-parameters of :py:func:`bundle.training.fields.other_contrast`.
    """

    def __init__(
        self,
        lesions: Mapping[str, Any] | None = None,
        small_lesions: Mapping[str, Any] | None = None,
        scanner: Mapping[str, Any] | None = None,
        contrast_change: Mapping[str, Any] | None = None,
    ) -> None:
        self.lesions = lesions
        self.small_lesions = small_lesions
        self.scanner = scanner
        self.contrast_change = contrast_change

    def __call__(self, image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Change normalised slices, B x 1 x H x W.

        Returns:
            tuple: the slices that are to be painted back (of the other contrast), those that the networks see, and
            where lesions were painted (bool).
        """
        target = image if self.contrast_change is None else other_contrast(image, brain, **self.contrast_change)
        seen, where = target, torch.zeros_like(brain)
        for paint, settings in ((paint_lesions, self.lesions), (paint_small_lesions, self.small_lesions)):
            if settings is not None:
                seen, painted = paint(seen, brain, **settings)
                where = where | painted
        return target, seen if self.scanner is None else scanned(seen, brain, **self.scanner), where


class PrepareMaskedBatch(PrepareSlices):
    """Hide a random part of each lesion-free image.

    Args:
        radius: of the low frequencies that the high-frequency image lacks.
        masks: hyper-parameters of :py:func:`bundle.training.random_masks.training_masks`.
        appearance: how what the networks see differs from what they are to give back, see :py:class:`Appearance`. None
            for the published method.
        crop_multiple: leave out the rows and columns that hold no brain in any image of the batch, and keep a multiple
            of so many, which the levels of the networks must divide. None to keep them all.

    A call returns the input of both networks (B x 2 x H x W: the image whose masked part is N(0, 1) noise, and the
    high-frequency image) and their label (B x 2 x H x W: the whole image, and the mask as 0 or 1).
    With ``crop_multiple`` both are cut to the same window.
    """

    def __init__(
        self,
        radius: float,
        masks: Mapping[str, Any],
        appearance: Appearance | None = None,
        crop_multiple: int | None = None,
    ) -> None:
        self.radius = radius
        self.masks = masks
        self.appearance = appearance or Appearance()
        self.crop_multiple = crop_multiple

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        image, seen, _ = self.appearance(image, brain)
        mask = training_masks(brain, **self.masks)
        visible = torch.where(mask, torch.randn_like(image), seen)
        inputs = torch.cat([visible, high_frequency(seen, self.radius)], dim=1)
        label = torch.cat([image, mask.float()], dim=1)
        window: tuple[EllipsisType | slice, ...] = (..., *brain_window(brain, self.crop_multiple))
        return inputs[window], label[window]


class PrepareJudgedBatch(PrepareSlices):
    """Paint lesions into lesion-free images, and let the trained networks refine them as at inference.

    Args:
        model: an :py:class:`bundle.model.refinement.IterMaskNet` with a judge and a threshold; only its judge is to
            learn.
        appearance: what is painted and changed, see :py:class:`Appearance`.
        iterations: of the refinement; few are enough, the mask shrinks most in the first.
        crop_multiple: as for :py:class:`PrepareMaskedBatch`.

    A call returns the judge's input (B x 2 x H x W: the images with lesions, and their reconstructions) and label
    (B x 1 x H x W: 1 where a lesion is). A ``pseudo_label`` of the batch is joined with the painted lesions.
    """

    def __init__(
        self, model: IterMaskNet, appearance: Appearance, iterations: int, crop_multiple: int | None = None
    ) -> None:
        self.model = model
        self.appearance = appearance
        self.iterations = iterations
        self.crop_multiple = crop_multiple
        for network in (model.initial, model.refiner):
            network.requires_grad_(False).eval()

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        _, seen, lesions = self.appearance(image, brain)
        seeds = torch.randint(2**31, (len(image),), device=image.device)
        if "pseudo_label" in batchdata:
            lesions = lesions | (torch.as_tensor(batchdata["pseudo_label"]).to(lesions.device) > 0)
        # frequencies are those of the whole slice
        images = seen, brain, lesions, high_frequency(seen, self.model.radius)
        window: tuple[EllipsisType | slice, ...] = (..., *brain_window(brain, self.crop_multiple))
        seen, brain, lesions, detail = (part[window] for part in images)
        with torch.no_grad():
            found = self.model.refine(seen, brain, seeds, max_iterations=self.iterations, detail=detail)
        return torch.cat([seen, found.reconstruction], dim=1), lesions.float()
