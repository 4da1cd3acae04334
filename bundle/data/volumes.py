# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Reading a scan from disk, and refusing what is not one in a single clear sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, Orientation

from bundle.errors import InputError

NIFTI = (".nii", ".nii.gz")


_to_lps = Orientation(axcodes="LPS", labels=(("L", "R"), ("P", "A"), ("I", "S")))


def _check_volume(volume: MetaTensor, path: str | Path, role: str) -> None:
    """Refuse a volume that is not 3D, not finite or has no position in space."""
    shape = tuple(volume.shape[1:])
    if volume.shape[0] != 1 or len(shape) != 3:
        shape = shape if volume.shape[0] == 1 else (*shape, volume.shape[0])
        raise InputError(
            f"{path}: the {role} is not one 3D volume (its shape is {' x '.join(map(str, shape))}); "
            "give a single 3D volume, for instance one time point or one contrast."
        )
    if not bool(torch.isfinite(volume).all()):
        raise InputError(f"{path}: the {role} holds NaN or infinite values; replace them (by 0 outside the brain).")
    affine = np.asarray(volume.affine, dtype=float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(
            f"{path}: the affine in the header is singular, so voxels have no position in space; "
            "correct the header (sform or qform)."
        )


def _corner_distance(first: MetaTensor, second: MetaTensor) -> float:
    """How many voxels of the second volume the corners of the first lie off, at most, along any of its axes."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.shape[1:]], indexing="ij")).reshape(3, -1)
    corners = np.concatenate([corners, np.ones((1, 8))])
    to_second = np.linalg.inv(np.asarray(second.affine, dtype=float)) @ np.asarray(first.affine, dtype=float)
    return float(np.abs(to_second @ corners - corners).max())


def _reader(path: Path) -> str:
    """One reader a format: where several are tried in turn, ITK gives a truncated NIfTI file back as a whole one."""
    if path.name.endswith(NIFTI):
        return "NibabelReader"
    if path.is_dir():
        names = itk.GDCMSeriesFileNames.New()
        names.SetDirectory(str(path))
        series = len(names.GetSeriesUIDs())
        if series != 1:
            raise InputError(f"{path}: a folder with {series} DICOM series; give a folder with exactly one.")
    return "ITKReader"


def read_volume(path: str | Path, role: str = "image") -> MetaTensor:
    """Read one 3D volume: NIfTI with nibabel, a folder with a DICOM series and everything else with ITK.

    Args:
        path: of the file or folder.
        role: what the volume is, for the sentence that says what is wrong with it.

    Returns:
        MetaTensor: 1 x H x W x D, float32.

    Raises:
        InputError: when it is missing, unreadable, not 3D, not finite, or without a position in space.
    """
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; check the path of the {role}.")
    reader = _reader(Path(path))
    try:
        volume = LoadImage(reader=reader, image_only=True, ensure_channel_first=True)(path)
    except Exception as error:
        # readers raise many kinds of exception, their messages run over many lines
        raise InputError(
            f"{path}: cannot be read as an image ({type(error).__name__}); "
            "give a NIfTI file or a folder with one DICOM series."
        ) from error
    if reader == "NibabelReader":
        # MONAI replaces an affine that does not agree with the voxel size in the header, viewers do not: results have
        # to lie where the scan is shown
        affine = nib.load(path).affine
        volume.affine = torch.as_tensor(affine, dtype=torch.float64)
        volume.meta["original_affine"] = affine
    _check_volume(volume, path, role)
    return volume


def read_oriented(path: str | Path) -> MetaTensor:
    """:py:func:`read_volume`, with its axes turned towards left, posterior and superior."""
    return _to_lps(read_volume(path))


def oriented_array(path: str | Path) -> np.ndarray:
    """The voxels of :py:func:`read_oriented`, W x H x D."""
    return np.asarray(read_oriented(path)[0])


def oriented_brain(statistics: Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """Where the brain of a case is.

    Args:
        statistics: of the case, with the path of its ``brain_mask`` where one was given.
        image: of the case, as :py:func:`oriented_array` reads it.

    Returns:
        np.ndarray: bool, the shape of ``image``.
    """
    return oriented_array(statistics["brain_mask"]) > 0 if "brain_mask" in statistics else image > 0


def check_same_grid(volume: MetaTensor, path: str | Path, role: str, image: MetaTensor) -> None:
    """Refuse a volume that does not lie on the grid of ``image``.

    Raises:
        InputError: when shape or position differ (by more than half a voxel).
    """
    if volume.shape != image.shape:
        raise InputError(
            f"{path}: the shape of the {role} ({' x '.join(map(str, volume.shape[1:]))}) is not that of its image "
            f"({' x '.join(map(str, image.shape[1:]))}); give a {role} on the grid of the image."
        )
    if _corner_distance(volume, image) > 0.5:
        raise InputError(
            f"{path}: the {role} lies elsewhere in space than its image (their affines differ); "
            f"resample the {role} to the grid of the image."
        )
