# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Shapes of real lesions: masks in the space of the MNI template, to be painted into simulated people."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from bundle.errors import InputError
from bundle.phantom.template import template_image


def shapes_in(folder: str) -> list[Path]:
    """The masks in a folder and below it, by name.

    Args:
        folder: of NIfTI masks, three axes each, in the space of the MNI152 template; lesions are not 0.

    Raises:
        InputError: when there is none, or one cannot be read, is no volume, or marks nothing within the template.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.name.endswith((".nii", ".nii.gz")))
    if not paths:
        raise InputError(f"{folder}: no mask; give --lesion_shapes a folder of NIfTI masks in MNI space.")
    template = template_image("wm")
    to_template = np.linalg.inv(template.affine)
    for path in paths:
        try:
            mask = cast(nib.Nifti1Image, nib.load(path))
            marked = np.argwhere(np.asarray(mask.dataobj) > 0)
        except Exception as error:
            raise InputError(f"{path}: cannot be read ({error}); mend or remove it.") from error
        if mask.ndim != 3:
            raise InputError(f"{path}: has {mask.ndim} axes; give --lesion_shapes masks with three.")
        there = nib.affines.apply_affine(to_template @ mask.affine, marked)
        if not ((there >= 0) & (there < template.shape)).all(axis=1).any():
            raise InputError(f"{path}: marks nothing within the MNI template; give --lesion_shapes masks in its space.")
    return paths


def on_template(path: Path) -> np.ndarray:
    """A mask on the grid of the template, as its file is stored: share of each voxel that is lesion, float32."""
    mask = cast(nib.Nifti1Image, nib.load(path))
    shares = nib.Nifti1Image((np.asarray(mask.dataobj) > 0).astype(np.float32), mask.affine)
    return np.asarray(resample_from_to(shares, template_image("wm"), order=1).dataobj, dtype=np.float32)
