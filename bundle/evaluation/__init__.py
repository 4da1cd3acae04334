# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How good the masks are, and what simpler methods give."""

from bundle.evaluation.baselines import JUDGED, PLAIN, REFINED
from bundle.evaluation.case_scores import MaskScoresd, ReconstructionScoresd
from bundle.evaluation.cases import read_cases
from bundle.evaluation.comparison import add_gains, compare, write_tables
from bundle.evaluation.figures import agreement, calibration_curve, examples, training_curves
from bundle.evaluation.similarity import healthy_ssim
from bundle.evaluation.tables import ScoreTables, read_scores

__all__ = [
    "JUDGED",
    "PLAIN",
    "REFINED",
    "MaskScoresd",
    "ReconstructionScoresd",
    "ScoreTables",
    "add_gains",
    "agreement",
    "calibration_curve",
    "compare",
    "examples",
    "healthy_ssim",
    "read_cases",
    "read_scores",
    "training_curves",
    "write_tables",
]
