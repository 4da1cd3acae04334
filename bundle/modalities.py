# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The contrasts of MRI that are known, by the word of ``--modality``."""

from __future__ import annotations

from typing import NamedTuple


class Modality(NamedTuple):
    """What is known of a contrast.

    Attributes:
        contrast: in which direction most lesions differ from healthy tissue, see
            :py:func:`bundle.model.contrast.reconstruction_error`.
        score: what the lesion score is made of, see :py:func:`bundle.model.lesion_score.lesion_score`.
    """

    contrast: str
    score: str


MODALITIES = {
    "flair": Modality("bright", "intensity"),
    # much healthy tissue is as dark, or with contrast agent as bright, as lesions are
    "t1": Modality("dark", "probability"),
    "t1ce": Modality("any", "probability"),
    "t2": Modality("bright", "intensity"),
    "dwi": Modality("bright", "intensity"),
    "adc": Modality("dark", "intensity"),
}
