# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How the networks learn, and how thresholds are set without labels."""

from bundle.training.batches import Appearance, PrepareJudgedBatch, PrepareMaskedBatch
from bundle.training.calibration import ErrorHistogram, LesionThreshold, StoreThreshold, ThresholdMetric
from bundle.training.handlers import FiniteWeights, SeedEpoch, TrainingState, ValidationToTheEnd
from bundle.training.metrics import MaskedErrorMetric, ReconstructionSSIMMetric
from bundle.training.reconstruction import ReconstructionLoss, ReconstructionPair

__all__ = [
    "Appearance",
    "ErrorHistogram",
    "FiniteWeights",
    "LesionThreshold",
    "MaskedErrorMetric",
    "PrepareJudgedBatch",
    "PrepareMaskedBatch",
    "ReconstructionLoss",
    "ReconstructionPair",
    "ReconstructionSSIMMetric",
    "SeedEpoch",
    "StoreThreshold",
    "ThresholdMetric",
    "TrainingState",
    "ValidationToTheEnd",
]
