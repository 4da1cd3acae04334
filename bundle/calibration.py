# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The threshold, found without labels from errors on healthy validation slices (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events
from monai.metrics import CumulativeIterationMetric
from torch import Tensor, nn


def healthy_threshold(errors: Tensor, percentile: float) -> Tensor:
    """The ``percentile``-th percentile of pooled errors, as the k-th smallest with k rounded down.

    Args:
        errors: squared errors at masked healthy pixels, any shape, not empty.
        percentile: 0 to 100; the paper uses 80.

    Returns:
        Tensor: a scalar, the type of ``errors``.
    """
    k = max(1, int(errors.numel() * percentile / 100.0))
    return errors.flatten().kthvalue(k).values


class ThresholdMetric(CumulativeIterationMetric):
    """Pool the refiner's squared errors at masked pixels over a validation run; their percentile is the threshold.

    Args:
        percentile: see :py:func:`healthy_threshold`.

    It is called with predictions and labels as :py:mod:`bundle.training` shapes them.
    """

    def __init__(self, percentile: float = 80.0) -> None:
        super().__init__()
        self.percentile = percentile

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:
        error = (y_pred[:, 1:].float() - y[:, :1]).square()
        return error[y[:, 1:] > 0]

    def aggregate(self) -> Tensor:
        return healthy_threshold(self.get_buffer(), self.percentile)


class StoreThreshold:
    """At the end of a validation run, give the models the threshold that it found.

    Args:
        models: each with a buffer ``threshold``.
        metric_name: under which the :py:class:`ThresholdMetric` was attached.
    """

    def __init__(self, models: Sequence[nn.Module], metric_name: str = "threshold") -> None:
        self.models = models
        self.metric_name = metric_name

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        with torch.no_grad():
            for model in self.models:
                model.threshold.fill_(float(engine.state.metrics[self.metric_name]))
