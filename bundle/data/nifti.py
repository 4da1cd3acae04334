# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Reading NIfTI and Analyze files with nibabel, compressed or not, whatever they are called."""

from __future__ import annotations

import gzip
import logging
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from bundle.data.scan import Scan, check_is_3d, cut_short, too_long, unreadable
from bundle.errors import InputError

GZIP = b"\x1f\x8b"

# gzip packs no tighter than this
_TIGHTEST = 1040

# a quaternion's part may be rounded up to a length of so much more than one
_QUATERNION_ROUNDING = 1e-3

# sizes of voxels that differ by less are the same
_SAME_SIZE = 0.02

_silent = logging.Logger("of nibabel, whose notices are no sentences for a user")

_UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 0.001)}


def open_unpacked(path: Path) -> BufferedIOBase:
    """The content of a file, unpacked where it is gzip by its first bytes."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")


def header_class(start: bytes) -> type[nib.AnalyzeHeader] | None:
    """The class of a header by its first 348 bytes; None when they are none of NIfTI's or Analyze's."""
    size = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    if 540 in size and start[4:7] in (b"n+2", b"ni2"):
        return nib.Nifti2Header if start[4:7] == b"n+2" else nib.nifti2.Nifti2PairHeader
    if 348 not in size or len(start) < 348:
        return None
    magic = start[344:347]
    return {b"n+1": nib.Nifti1Header, b"ni1": nib.nifti1.Nifti1PairHeader}.get(magic, nib.AnalyzeHeader)


# endings of the two files of a pair: header and voxels
PAIR = (".hdr", ".img")


def other_half(path: Path, endings: tuple[str, str]) -> Path:
    """The file of a pair that has another ending (in upper or lower case, packed or not).

    Raises:
        InputError: when there is none.
    """
    own, other = endings
    stem = path.name.lower().removesuffix(".gz").removesuffix(own)
    for candidate in sorted(path.parent.iterdir()):
        if candidate.name.lower() in (stem + other, f"{stem}{other}.gz"):
            return candidate
    raise InputError(f"{path}: the other file of the pair ({other}) is missing; put it beside this one.")


def _affine(header: Any, path: Path, role: str) -> tuple[np.ndarray, list[str], bool]:
    """Where the voxels lie, as viewers take it: sform, else qform, else nothing but the size of the voxels."""
    if not isinstance(header, nib.Nifti1Header):
        return header.get_best_affine(), [], False
    part = np.array([float(header[f"quatern_{name}"]) for name in "bcd"])
    length = float(np.linalg.norm(part))
    if 1 < length < 1 + _QUATERNION_ROUNDING:
        for name, value in zip("bcd", part / (length * (1 + 1e-7))):
            header[f"quatern_{name}"] = value
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not sform and not qform:
        return header.get_base_affine(), [], False
    try:
        from_quaternion = header.get_qform() if qform else None
    except Exception as error:
        if not sform:
            raise InputError(
                f"{path}: the quaternion in the header of the {role} is no rotation; correct the header (qform)."
            ) from error
        from_quaternion = None
    if not sform and from_quaternion is not None:
        return from_quaternion, [], True
    affine = header.get_sform()
    if not np.isfinite(affine).all():
        return affine, [], True
    if from_quaternion is None or not np.isfinite(from_quaternion).all():
        return affine, _sizes(header, affine, role), True
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in header.get_data_shape()[:3]])).reshape(3, -1)
    off = float(np.linalg.norm((affine - from_quaternion)[:3] @ np.vstack([corners, np.ones(8)]), axis=0).max())
    if off <= 0.5 * float(np.linalg.norm(affine[:3, :3], axis=0).min()):
        return affine, [], True
    return affine, [f"Header: qform and sform put the {role} up to {off:.1f} mm apart; the sform was used."], True


def _sizes(header: Any, affine: np.ndarray, role: str) -> list[str]:
    """A sentence where the sform gives voxels of another size than the header does beside it."""
    told, used = np.abs(np.array(header["pixdim"][1:4], float)), np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(told, used, rtol=_SAME_SIZE):
        return []
    first, second = (" x ".join(f"{mm:.3g}" for mm in sizes) for sizes in (told, used))
    return [
        f"Header: the voxels of the {role} are {first} mm by its sizes (pixdim) and {second} mm by its sform; the "
        "sform was used."
    ]


def _unit(header: Any, affine: np.ndarray, role: str) -> list[str]:
    """A sentence where the header says that lengths are not in millimetres, which is how they are taken."""
    name, scale = _UNITS.get(int(header["xyzt_units"]) & 7 if "xyzt_units" in header else 0, ("", 1.0))
    size = float(np.linalg.norm(affine[:3, :3], axis=0).max()) * scale
    if not name:
        return []
    return [
        f"Header: the {role} says that its lengths are {name} (its voxels would be {size:g} mm long); "
        "they were taken for millimetres."
    ]


def _read_voxels(proxy: ArrayProxy) -> np.ndarray:
    """The voxels as float32, scaled in double precision as nibabel does, slice by slice to need little memory."""
    stored = np.asarray(proxy.get_unscaled())
    if proxy.slope == 1 and proxy.inter == 0:
        return stored.astype(np.float32, copy=False)
    voxels = np.empty(stored.shape, np.float32)
    for k in range(stored.shape[2]):
        voxels[:, :, k] = stored[:, :, k] * np.float64(proxy.slope) + np.float64(proxy.inter)
    return voxels


def read_nifti(path: Path, kind: type[nib.AnalyzeHeader], role: str) -> Scan:
    """Read one volume.

    Args:
        path: of a NIfTI file, or of either file of a pair (.hdr and .img).
        kind: its :py:func:`header_class`.
        role: what it is, for the sentences.

    Raises:
        InputError: when the file is cut short or damaged, is no 3D volume of real numbers, or its pair is missing.
    """
    single = kind in (nib.Nifti1Header, nib.Nifti2Header)
    data_path = path if single else other_half(path, PAIR)
    with open_unpacked(path) as file:
        header = kind.from_fileobj(file, check=False)
    sizes = np.array(header["pixdim"][1:4], dtype=float)
    # it mends the sizes of voxels, and reports what it mends
    header.check_fix(logger=_silent)
    shape = check_is_3d(tuple(map(int, header.get_data_shape())), path, role)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iufb":
        raise InputError(f"{path}: the {role} has colours or complex numbers; give one real number for each voxel.")
    needed, stored = int(np.prod(shape)) * dtype.itemsize, data_path.stat().st_size
    if needed > stored * _TIGHTEST:
        raise cut_short(data_path, stored, needed)
    if single and header.get_data_offset() < header.single_vox_offset:
        raise InputError(
            f"{path}: by the header of the {role} its voxels begin at byte {header.get_data_offset()}, which is amid "
            "the header; correct it (vox_offset)."
        )
    affine, warnings, oriented = _affine(header, path, role)
    by_sform = "sform_code" in header and int(header["sform_code"]) > 0
    if not by_sform and not (np.isfinite(sizes).all() and (sizes != 0).all()):
        raise InputError(
            f"{path}: the header of the {role} gives no size of its voxels ({sizes[0]:g} x {sizes[1]:g} x "
            f"{sizes[2]:g} mm); correct the header (pixdim)."
        )
    with open_unpacked(data_path) as file:
        try:
            voxels = _read_voxels(ArrayProxy(file, header, mmap=False)).reshape(shape)
            # to the end, where gzip keeps its checksum
            file.seek(int(header.get_data_offset()) + needed)
            rest = sum(map(len, iter(lambda: file.read(1 << 20), b"")))
        except (EOFError, OSError) as error:
            raise unreadable(data_path, "the file is cut short or damaged") from error
    # less than a slice is padding
    if rest >= needed // shape[2]:
        raise too_long(data_path, needed + rest, needed)
    if not oriented:
        warnings = [
            f"Header: the {role} has no orientation (sform and qform code 0): where left and right are is not "
            "known, and no side is named.",
            *warnings,
        ]
    # in the byte order of this computer, which MONAI needs to put volumes together
    native = header.as_byteswapped(nib.volumeutils.native_code)
    fields = {name: native[name] for name in native if native[name].dtype.kind in "iuf"}
    return Scan(voxels, np.asarray(affine, float), fields, (*warnings, *_unit(header, affine, role)), oriented)
