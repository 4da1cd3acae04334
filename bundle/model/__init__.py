# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The networks, and the refinement that finds what they cannot explain."""

from bundle.model.card import card_tensor, read_card, weights_note
from bundle.model.checkpoint import ModelLoader
from bundle.model.contrast import lesion_contrast, reconstruction_error
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.inference_network import number_format
from bundle.model.inferer import IterativeMaskInferer
from bundle.model.lesion_score import score_kind
from bundle.model.network import ReconstructionUNet
from bundle.model.noise import addressed_noise
from bundle.model.refinement import IterMaskNet, VolumeResult, start_mask
from bundle.model.together import ContrastNetworks, ContrastWeights, TogetherInferer, together, weights_of_contrasts

__all__ = [
    "ContrastNetworks",
    "ContrastWeights",
    "IterMaskNet",
    "IterativeMaskInferer",
    "ModelLoader",
    "ReconstructionUNet",
    "TogetherInferer",
    "VolumeResult",
    "addressed_noise",
    "brain_window",
    "card_tensor",
    "high_frequency",
    "lesion_contrast",
    "number_format",
    "read_card",
    "reconstruction_error",
    "score_kind",
    "start_mask",
    "together",
    "weights_note",
    "weights_of_contrasts",
]
