# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What every reader of a format gives, whatever the format."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bundle.errors import InputError

# meta data: 1 where the file does not say where left and right are, else 0
UNORIENTED = "unoriented"


class Scan(NamedTuple):
    """A volume as it is stored.

    Attributes:
        voxels: X x Y x Z, float32.
        affine: from voxels to world millimetres (right, anterior, superior), float64.
        header: what the file's header says, for whoever writes a volume that has to lie on the scan.
        warnings: sentences about what a reader of the result should know.
        oriented: whether the file says where left and right are.
    """

    voxels: np.ndarray
    affine: np.ndarray
    header: dict[str, Any]
    warnings: tuple[str, ...] = ()
    oriented: bool = True


def unreadable(path: Any, why: str) -> InputError:
    """The sentence about a file that no reader takes."""
    return InputError(
        f"{path}: cannot be read as an image ({why}); give a NIfTI, NRRD or MetaImage file, or a folder with a "
        "DICOM series."
    )


def cut_short(path: Any, there: int, needed: int) -> InputError:
    """The sentence about a file that ends before its last voxel."""
    return unreadable(path, f"the file is cut short: {there} bytes of voxels instead of {needed}")


def too_long(path: Any, there: int, needed: int) -> InputError:
    """The sentence about a file with more voxels than its header tells of."""
    return unreadable(path, f"{there} bytes of voxels where its header tells of {needed}: size or type are wrong there")


def check_is_3d(shape: tuple[int, ...], path: Any, role: str) -> tuple[int, ...]:
    """The three axes of a shape whose further axes, if any, have the length one.

    Raises:
        InputError: when it is not the shape of one 3D volume.
    """
    first, others = shape[:3], shape[3:]
    if len(first) < 3 or any(size != 1 for size in others) or 0 in first:
        raise InputError(
            f"{path}: the {role} is not one 3D volume (its shape is {' x '.join(map(str, shape))}); "
            "give a single 3D volume, for instance one time point or one contrast."
        )
    return first
