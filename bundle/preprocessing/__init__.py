# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From a scan to what the networks see."""

from bundle.preprocessing.brain_extraction import can_extract_brains
from bundle.preprocessing.brain_mask import BrainMaskd
from bundle.preprocessing.contrast_check import ContrastCheckd
from bundle.preprocessing.intensities import BACKGROUND, ClearBackgroundd, NormalizeBrainIntensityd
from bundle.preprocessing.lesion_free_slices import LesionFreeSlicesd
from bundle.preprocessing.other_contrasts import OtherContrastsd
from bundle.preprocessing.placing import FieldOfViewd

__all__ = [
    "BACKGROUND",
    "BrainMaskd",
    "ClearBackgroundd",
    "ContrastCheckd",
    "FieldOfViewd",
    "LesionFreeSlicesd",
    "NormalizeBrainIntensityd",
    "OtherContrastsd",
    "can_extract_brains",
]
