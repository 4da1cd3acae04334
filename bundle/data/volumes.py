# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Reading a scan from disk, and refusing what is not one in a single clear sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, ResampleToMatch
from monai.utils import SpaceKeys

from bundle.data.dicom import read_dicom
from bundle.data.dicom_series import FIRST_TAGS
from bundle.data.itk_formats import BEGINNING, itk_format, read_by_itk
from bundle.data.nifti import PAIR, header_class, open_unpacked, other_half, read_nifti
from bundle.data.scan import UNORIENTED, Scan, unreadable
from bundle.errors import InputError
from bundle.files import check_readable


def _check_volume(volume: MetaTensor, path: str | Path, role: str) -> None:
    """Refuse a volume that is not finite or has no position in space."""
    # NumPy asks ten times as fast as a tensor with meta data
    if not np.isfinite(np.asarray(volume)).all():
        raise InputError(f"{path}: the {role} holds NaN or infinite values; replace them (by 0 outside the brain).")
    affine = np.asarray(volume.affine, dtype=float)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) <= 1e-6 * lengths.prod():
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


def _read(path: Path, role: str, series: str) -> Scan:
    """One strict reader for each format, which the content of the file chooses and not its name."""
    if path.is_dir():
        return read_dicom(path, series)
    with path.open("rb") as file:
        start = file.read(BEGINNING)
    if start[128:132] == b"DICM":
        return read_dicom(path)
    with open_unpacked(path) as file:
        start = file.read(BEGINNING)
    if (kind := header_class(start)) is not None:
        return read_nifti(path, kind, role)
    if (name := itk_format(start)) is not None:
        return read_by_itk(path, name)
    # the file with the voxels of a pair begins with voxels
    if path.name.lower().removesuffix(".gz").endswith(PAIR[1]):
        header = other_half(path, PAIR[::-1])
        return _read(header, role, series)
    if start[:2] in FIRST_TAGS:
        return read_dicom(path)
    raise unreadable(path, "its content is of no known format")


def read_volume(path: str | Path, role: str = "image", series: str = "") -> MetaTensor:
    """Read one 3D volume: NIfTI, Analyze, NRRD, MetaImage, or DICOM (a file, or a folder with a series).

    Args:
        path: of the file or folder.
        role: what the volume is, for the sentence that says what is wrong with it.
        series: which DICOM series of a folder, see :py:func:`bundle.data.dicom.read_dicom`.

    Returns:
        MetaTensor: 1 x X x Y x Z, float32; ``meta["read_warnings"]`` has one sentence a line, what the header says has
        the names of its format, ``meta["unoriented"]`` is 1 where left and right are not known.

    Raises:
        InputError: when it is missing, unreadable, cut short, not 3D, not finite, or without a position in space.
    """
    file = Path(path)
    if not os.path.lexists(file):
        raise InputError(f"{path}: no such file or folder; check the path of the {role}.")
    if not file.exists():
        raise InputError(f"{path}: a link that leads nowhere; fetch the file of the {role} behind it.")
    if not (file.is_file() or file.is_dir()):
        raise InputError(f"{path}: a pipe or a device, and no file; give the file of the {role}.")
    check_readable(file)
    try:
        scan = _read(file, role, series)
    except InputError:
        raise
    except Exception as error:
        # readers raise many kinds of exception, their messages run over many lines
        raise unreadable(path, f"its header or its voxels are damaged: {type(error).__name__}") from error
    warnings = [*scan.warnings]
    if np.array_equal(scan.affine, np.eye(4)):
        warnings.append(
            f"Header: the affine of the {role} is the identity, so its place, sides and voxel size seem never to have "
            "been recorded; do not trust millilitres and sides."
        )
    meta = {
        **scan.header,
        "filename_or_obj": str(path),
        "original_affine": scan.affine,
        "spatial_shape": np.array(scan.voxels.shape),
        "original_channel_dim": float("nan"),
        "space": SpaceKeys.RAS,
        "read_warnings": "\n".join(warnings),
        UNORIENTED: int(not scan.oriented),
    }
    affine = torch.as_tensor(scan.affine, dtype=torch.float64)
    volume = MetaTensor(torch.from_numpy(np.ascontiguousarray(scan.voxels))[None], affine=affine, meta=meta)
    _check_volume(volume, path, role)
    return volume


def turn_to(codes: str) -> Orientation:
    """Turns the axes of a volume towards three orientation codes, such as "LPS".

    A new one each time: transforms keep notes about themselves, and files are read by several threads.
    """
    return Orientation(axcodes=codes, labels=(("L", "R"), ("P", "A"), ("I", "S")))


def read_oriented(path: str | Path, series: str = "") -> MetaTensor:
    """:py:func:`read_volume`, with its axes turned towards left, posterior and superior."""
    return cast(MetaTensor, turn_to("LPS")(read_volume(path, series=series)))


def on_grid_of(volume: MetaTensor, image: MetaTensor) -> MetaTensor:
    """A volume on the grid of another one, by the headers of both; 0 where it ends, itself where it lies there."""
    if volume.shape == image.shape and _corner_distance(volume, image) < 1e-3:
        return volume
    moved = cast(MetaTensor, ResampleToMatch(mode="bilinear", padding_mode="zeros")(volume, img_dst=image))
    moved.meta["filename_or_obj"] = volume.meta["filename_or_obj"]
    return moved


def oriented_array(path: str | Path) -> np.ndarray:
    """The voxels of :py:func:`read_oriented`, W x H x D."""
    return np.asarray(read_oriented(path)[0])


def half_of_range(mask: Any) -> Any:
    """Where a mask is above the middle of its range, be that 0 to 1, 0 to 255, or one of probabilities."""
    lowest, highest = float(mask.min()), float(mask.max())
    return mask > (0.0 if lowest == highest else (lowest + highest) / 2)


# of what an image shows; more is no lesion
LARGEST_LABEL_SHARE = 0.6


def check_label(label: MetaTensor, path: str | Path, role: str, image: MetaTensor) -> None:
    """Refuse a lesion mask that is none: where it is above 0 there is lesion, so a trace of interpolation would count.

    Args:
        label: on the grid of ``image``.
        path: of its file.
        role: what it is, for the sentence that says what is wrong.
        image: of which it is.

    Raises:
        InputError: when it has other values than whole numbers from 0 on, or marks most of the image.
    """
    values = label.as_tensor()
    if bool((values < 0).any()) or bool((values != values.round()).any()):
        raise InputError(
            f"{path}: the {role} has values that are no whole numbers from 0 on (a probability, or interpolated?); "
            "give 0 where there is no lesion, and whole numbers where there is one."
        )
    marked, seen = (int(np.count_nonzero(np.asarray(part))) for part in (values > 0, image > image.min()))
    if marked > LARGEST_LABEL_SHARE * seen:
        raise InputError(
            f"{path}: the {role} marks {100 * marked / max(1, seen):.0f} % of what the image shows, so it is the scan, "
            "the brain, or the inverse; give 0 where there is no lesion, and whole numbers where there is one."
        )


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


def read_on_grid(path: str | Path, role: str, image: MetaTensor) -> MetaTensor:
    """Read what has to lie on the grid of an image: its mask, for instance. Axes that are turned are turned back.

    Args:
        path: of the file.
        role: what the volume is, for the sentence that says what is wrong with it.
        image: 1 x X x Y x Z.

    Raises:
        InputError: see :py:func:`read_volume` and :py:func:`check_same_grid`.
    """
    volume = read_volume(path, role)
    theirs, ours = ("".join(nib.aff2axcodes(np.asarray(one.affine, float))) for one in (volume, image))
    if theirs != ours:
        volume = cast(MetaTensor, turn_to(ours)(volume))
    check_same_grid(volume, path, role, image)
    return volume


def in_plane(affine: np.ndarray) -> tuple[int, int]:
    """The two axes of a volume along axial slices.

    Args:
        affine: 4 x 4, from voxels to world millimetres (right, anterior, superior).
    """
    world = nib.io_orientation(np.asarray(affine, float))[:, 0]
    first, second = (axis for axis in range(3) if world[axis] != 2)
    return first, second
