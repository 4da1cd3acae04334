# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The MNI152 template, and the grid of simulated people."""

from __future__ import annotations

from importlib.resources import files
from typing import cast

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResizeWithPadOrCrop

# BraTS-like grid: 1 mm voxels, array axes towards left, posterior, superior
SHAPE = (240, 240, 155)
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])


def template_image(name: str) -> nib.Nifti1Image:
    """One of the template's maps, "t1", "gm" or "wm": 1 mm voxels, axes towards right, anterior, superior; 0 to 255."""
    path = files("nilearn.datasets.data") / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    return cast(nib.Nifti1Image, nib.load(str(path)))


def turned(volume: np.ndarray) -> np.ndarray:
    """A volume of the template with its axes as those of simulated people."""
    return volume[::-1, ::-1]


def on_people_grid(volume: np.ndarray) -> torch.Tensor:
    """A turned volume of the template on the grid of simulated people: float32, 1 x 240 x 240 x 155."""
    # 15 mm of the template above the vertex are air; keep the top of the brain, lose the lowest brain stem
    part = torch.from_numpy(volume.astype(np.float32))[None, :, :, 10:175]
    return cast(MetaTensor, ResizeWithPadOrCrop(SHAPE, mode="constant")(part)).as_tensor()
