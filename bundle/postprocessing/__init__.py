# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From what the model finds to a lesion mask on the grid of the scan."""

from bundle.postprocessing.course import RefinementTraced
from bundle.postprocessing.fine_outline import FineOutlined, fine_outline
from bundle.postprocessing.mark_lesions import MarkLesionsd
from bundle.postprocessing.second_pass import FieldFreeInferer, TakeFieldOutd
from bundle.postprocessing.statistics import LesionStatisticsd
from bundle.postprocessing.surest_mask import SurestMaskd, expected_dice, surest_threshold
from bundle.postprocessing.to_scan import InvertLinearlyd, RestoreIntensityd
from bundle.postprocessing.volume_score import VolumeScored, volume_score

__all__ = [
    "FieldFreeInferer",
    "FineOutlined",
    "InvertLinearlyd",
    "LesionStatisticsd",
    "MarkLesionsd",
    "RefinementTraced",
    "RestoreIntensityd",
    "SurestMaskd",
    "TakeFieldOutd",
    "VolumeScored",
    "expected_dice",
    "fine_outline",
    "surest_threshold",
    "volume_score",
]
