# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""In which direction lesions differ from healthy tissue, and the error that counts this direction."""

from __future__ import annotations

from torch import Tensor

from bundle.errors import InputError
from bundle.modalities import MODALITIES

CONTRASTS = ("any", "bright", "dark")


def lesion_contrast(modality: str) -> str:
    """The direction in which lesions differ in images of a modality.

    Args:
        modality: one of ``MODALITIES``.

    Raises:
        InputError: when the modality is none of these.
    """
    if modality not in MODALITIES:
        raise InputError(
            f"{modality}: no such modality; give --modality as one of {', '.join(MODALITIES)}, "
            "or say by --contrast whether lesions are bright, dark or any."
        )
    return MODALITIES[modality].contrast


def reconstruction_error(image: Tensor, reconstruction: Tensor, contrast: str) -> Tensor:
    """Squared difference, counted only where the image differs in the direction in which lesions do.

    Args:
        image: any shape.
        reconstruction: the shape of ``image``.
        contrast: "any" for the published error; "bright" to count only what is brighter than its reconstruction, as
            lesions are in FLAIR; "dark" to count only what is darker.

    Returns:
        Tensor: the shape of ``image``, not negative.
    """
    difference = image - reconstruction
    if contrast == "bright":
        difference = difference.clamp(min=0.0)
    elif contrast == "dark":
        difference = difference.clamp(max=0.0)
    return difference**2
