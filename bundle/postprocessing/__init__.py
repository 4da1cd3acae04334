# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From what the model finds to a lesion mask on the grid of the scan."""

from bundle.postprocessing.cleaning import cleaned, with_holes_filled, without_small
from bundle.postprocessing.course import RefinementTraced
from bundle.postprocessing.fine_outline import FineOutlined, fine_outline
from bundle.postprocessing.mark_lesions import MarkLesionsd
from bundle.postprocessing.second_pass import FieldFreeInferer, TakeFieldOutd
from bundle.postprocessing.statistics import LesionStatisticsd, lesion_statistics, millilitres_per_voxel
from bundle.postprocessing.surest_mask import SurestMaskd, expected_dice, surest_threshold
from bundle.postprocessing.to_scan import InvertLinearlyd, RestoreIntensityd
from bundle.postprocessing.volume_score import VolumeScored, smoothed_across_slices, volume_score
from bundle.postprocessing.volume_threshold import edge_step, sharpest_threshold

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
    "cleaned",
    "edge_step",
    "expected_dice",
    "fine_outline",
    "lesion_statistics",
    "millilitres_per_voxel",
    "sharpest_threshold",
    "smoothed_across_slices",
    "surest_threshold",
    "volume_score",
    "with_holes_filled",
    "without_small",
]
