# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The metrics of a training."""

from __future__ import annotations

from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from bundle.evaluation.similarity import healthy_ssim
from bundle.preprocessing.intensities import BACKGROUND


class MaskedErrorMetric(CumulativeIterationMetric):
    """The refiner's mean squared error at masked pixels; called as :py:mod:`bundle.training.batches` shapes it."""

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:
        error = (y_pred[:, 1:].float() - y[:, :1]).square() * y[:, 1:]
        return error.flatten(1).sum(dim=1) / y[:, 1:].flatten(1).sum(dim=1).clamp(min=1)

    def aggregate(self) -> Tensor:
        return self.get_buffer().mean()


class ReconstructionSSIMMetric(CumulativeIterationMetric):
    """``healthy_ssim`` of the refiner on lesion-free slices; called as :py:mod:`bundle.training.batches` shapes it."""

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:
        image = y[:, :1]
        return healthy_ssim(image, y_pred[:, 1:].float(), image > BACKGROUND)

    def aggregate(self) -> Tensor:
        return self.get_buffer().nanmean()
