# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The threshold, found without labels from errors on healthy validation slices (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from monai.engines import IterationEvents
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from bundle.distributed import gather
from bundle.errors import InputError
from bundle.files import writable_folder, write_whole
from bundle.model.contrast import reconstruction_error
from bundle.model.refinement import IterMaskNet
from bundle.preprocessing.intensities import BACKGROUND
from bundle.report.pictures import figure_png


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
        contrast: in which direction lesions differ, see :py:func:`bundle.model.contrast.reconstruction_error`.

    It is called with predictions and labels as :py:mod:`bundle.training.batches` shapes them.
    """

    def __init__(self, percentile: float, contrast: str) -> None:
        super().__init__()
        self.percentile = percentile
        self.contrast = contrast

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:
        error = reconstruction_error(y[:, :1], y_pred[:, 1:].float(), self.contrast)
        return error[y[:, 1:] > 0]

    def aggregate(self) -> Tensor:
        return healthy_threshold(self.get_buffer(), self.percentile)


class StoreThreshold:
    """At the end of a validation run, give the models the threshold that it found.

    Args:
        models: each with a buffer ``threshold``.
        metric_name: under which the :py:class:`ThresholdMetric` was attached.
    """

    def __init__(self, models: Sequence[IterMaskNet], metric_name: str = "threshold") -> None:
        self.models = models
        self.metric_name = metric_name

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        with torch.no_grad():
            for model in self.models:
                model.threshold.fill_(float(engine.state.metrics[self.metric_name]))


class LesionThreshold:
    """Give a model the threshold of its judge: a percentile of the lesion scores in slices without a lesion.

    Args:
        model: with a buffer ``lesion_threshold``.
        percentile: of the scores at brain pixels.
        lowest: the threshold where the percentile lies below it.

    The outputs of the run need ``image`` and ``score``, cut to the slices without a lesion.

    Raises:
        InputError: at the end of a run without such a slice.
    """

    def __init__(self, model: IterMaskNet, percentile: float, lowest: float) -> None:
        self.model = model
        self.percentile = percentile
        self.lowest = lowest
        self.scores: list[Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.scores.clear())
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.store)

    def collect(self, engine: Engine) -> None:
        for output in engine.state.output:  # type: ignore[union-attr]
            image, score = (torch.as_tensor(output[name]).cpu() for name in ("image", "score"))
            self.scores.append(score[image > BACKGROUND])

    def store(self, engine: Engine) -> None:
        scores = torch.cat([torch.zeros(0), *gather(self.scores)])
        if not len(scores):
            raise InputError("No lesion-free slice to calibrate the judge on; give healthy scans, or more patients.")
        threshold = healthy_threshold(scores, self.percentile).clamp(min=self.lowest)
        engine.logger.info(f"Threshold of the judge: {float(threshold):.4g}, from {len(scores):,} pixels")
        with torch.no_grad():
            self.model.lesion_threshold.fill_(threshold)


class ErrorHistogram:
    """Draw the histogram of the errors that a validation run has pooled, with the threshold in it.

    Args:
        path: of the PNG.
        percentile: that the threshold is, for the legend.
        metric_name: under which the :py:class:`ThresholdMetric` was attached.
    """

    def __init__(self, path: str, percentile: float, metric_name: str = "threshold") -> None:
        self.path = Path(path)
        self.percentile = percentile
        self.metric_name = metric_name

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: writable_folder(self.path.parent))
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        errors = engine.state.metric_details[self.metric_name].cpu().numpy()  # type: ignore[attr-defined]
        threshold = float(engine.state.metrics[self.metric_name])
        figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        bins = np.geomspace(max(errors.min(), 1e-7), errors.max(), 120)
        axes.hist(errors, bins=bins, color="#5c6775")  # type: ignore[arg-type]
        axes.axvline(threshold, color="#c9184a", label=f"threshold {threshold:.4g} = {self.percentile:g}th percentile")
        axes.set(
            xscale="log",
            xlabel="squared error at hidden healthy pixels",
            ylabel="pixels",
            title=f"{len(errors):,} pixels of healthy validation slices",
        )
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        write_whole(self.path, figure_png(figure))
