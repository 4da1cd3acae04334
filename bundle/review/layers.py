# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the viewer shows of a case: volumes as NIfTI, all on the voxels of the scan as it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from bundle.cases import CaseFolder
from bundle.data import read_volume
from bundle.errors import InputError

# of a case, in the order in which they lie on each other
LAYERS = ("scan", "reconstruction", "score", "mask")


def on_grid_of(case: CaseFolder, voxels: np.ndarray) -> bytes:
    """A volume as an unpacked NIfTI file on the grid of a case, its place said once (sform): viewers differ in which
    of two places they take."""
    place = geometry(case)
    image = nib.Nifti1Image(voxels.reshape(place["shape"]), np.array(place["affine"]))
    image.set_sform(image.affine, 1)
    image.set_qform(None, 0)
    return image.to_bytes()


def result_file(case: CaseFolder, path: Path) -> bytes:
    """A result of a case, or the mask of a version of it, as an unpacked NIfTI file."""
    image = cast(nib.Nifti1Image, nib.load(path))
    return on_grid_of(case, np.asarray(image.dataobj, dtype=image.get_data_dtype()))


def scan_file(case: CaseFolder) -> bytes:
    """The scan of a case, of whatever format, as an unpacked NIfTI file.

    Raises:
        InputError: when it is gone, cannot be read, or is no longer the scan that the results are of.
    """
    statistics = case.statistics()
    voxels = np.asarray(read_volume(statistics["image"], series=statistics.get("series", ""))[0])
    there = nib.load(case.file("mask")).shape[:3]  # type: ignore[attr-defined]
    if voxels.shape != there:
        raise InputError(
            f"{statistics['image']}: it has the shape {voxels.shape}, the results of it {there}; segment it again."
        )
    whole = np.round(voxels)
    if np.array_equal(whole, voxels) and abs(whole).max() < 2**15:
        voxels = whole.astype(np.int16)
    return on_grid_of(case, voxels)


def geometry(case: CaseFolder) -> dict[str, Any]:
    """Shape of a case and its affine, from voxels (i, j, k) to millimetres (right, anterior, superior)."""
    mask = cast(nib.Nifti1Image, nib.load(case.file("mask")))
    return {"shape": list(mask.shape[:3]), "affine": np.asarray(mask.affine, dtype=float).tolist()}
