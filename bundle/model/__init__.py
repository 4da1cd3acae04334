# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The networks, and the refinement that finds what they cannot explain."""

from bundle.model.authors_checkpoint import convert_reference_state
from bundle.model.card import card_tensor, read_card, weights_note
from bundle.model.checkpoint import ModelLoader
from bundle.model.contrast import CONTRASTS, lesion_contrast, reconstruction_error
from bundle.model.crop import brain_window
from bundle.model.frequency import high_frequency
from bundle.model.inference_network import number_format
from bundle.model.inferer import IterativeMaskInferer
from bundle.model.lesion_score import SCORES, lesion_intensity, robust_intensity, score_kind
from bundle.model.network import ReconstructionUNet, ResidualBlock, SelfAttention
from bundle.model.noise import addressed_noise
from bundle.model.refinement import IterMaskNet, RefinementResult, VolumeResult, start_mask
from bundle.model.together import ContrastNetworks, ContrastWeights, TogetherInferer, together, weights_of_contrasts

__all__ = [
    "CONTRASTS",
    "SCORES",
    "ContrastNetworks",
    "ContrastWeights",
    "IterMaskNet",
    "IterativeMaskInferer",
    "ModelLoader",
    "ReconstructionUNet",
    "RefinementResult",
    "ResidualBlock",
    "SelfAttention",
    "TogetherInferer",
    "VolumeResult",
    "addressed_noise",
    "brain_window",
    "card_tensor",
    "convert_reference_state",
    "high_frequency",
    "lesion_contrast",
    "lesion_intensity",
    "number_format",
    "read_card",
    "reconstruction_error",
    "robust_intensity",
    "score_kind",
    "start_mask",
    "together",
    "weights_note",
    "weights_of_contrasts",
]
