# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How good the masks are, and what simpler methods give."""

from bundle.evaluation.best_possible import best_possible_dice
from bundle.evaluation.cases import Case, read_cases
from bundle.evaluation.comparison import Choice, add_gains, compare
from bundle.evaluation.comparison_tables import compare_evaluations, write_tables
from bundle.evaluation.intervals import bootstrap_interval
from bundle.evaluation.mask_scores import MaskScoresd
from bundle.evaluation.methods import Method, plain_methods
from bundle.evaluation.reconstruction_scores import ReconstructionScoresd
from bundle.evaluation.similarity import healthy_ssim
from bundle.evaluation.stability import measure_stability
from bundle.evaluation.tables import ScoreTables, read_scores

__all__ = [
    "Case",
    "Choice",
    "MaskScoresd",
    "Method",
    "ReconstructionScoresd",
    "ScoreTables",
    "add_gains",
    "best_possible_dice",
    "bootstrap_interval",
    "compare",
    "compare_evaluations",
    "healthy_ssim",
    "measure_stability",
    "plain_methods",
    "read_cases",
    "read_scores",
    "write_tables",
]
