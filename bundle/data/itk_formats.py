# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Reading NRRD and MetaImage files with ITK, which fills up what a file lacks: so sizes are checked first."""

from __future__ import annotations

import bz2
import gzip
import math
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import itk
import numpy as np

from bundle.data.scan import Scan, check_is_3d, cut_short, too_long, unreadable
from bundle.errors import InputError

_META_BYTES = {"CHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8, "UCHAR": 1}
_META_BYTES |= {"LONG": 4, "ULONG": 4, "LONG_LONG": 8, "ULONG_LONG": 8}
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t", "ushort", "unsigned short"), 2),
    **dict.fromkeys(("signed short int", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t", "ulonglong", "uint64", "uint64_t", "double"), 8),
}
# ends of the header are looked for in so many bytes
_LONGEST_HEADER = 1 << 20

# bytes by which a format is known
BEGINNING = 2048


class Header(NamedTuple):
    """What stands before the voxels of a file.

    Attributes:
        fields: by their names, in small letters.
        end: where it ends, in bytes.
        source: the file with the voxels, as it is named; None where they follow.
    """

    fields: dict[str, str]
    end: int
    source: str | None


def _fields(text: str, separator: str) -> dict[str, str]:
    """``key separator value`` of each line of a header."""
    pairs = (line.split(separator, 1) for line in text.splitlines() if separator in line and not line.startswith("#"))
    return {key.strip().lower(): value.lstrip("=").strip() for key, value in pairs}


def _check_size(
    path: Path, start: int, needed: int, most: float, unpack: Callable[[bytes], bytes] | None = None
) -> None:
    """Refuse a file that has too few bytes of voxels from ``start`` on, or ``most`` and more.

    Raises:
        InputError: naming how many there are.
    """
    if not path.is_file():
        raise InputError(f"{path}: the file with the voxels is missing; put it beside its header.")
    if unpack is None:
        there = path.stat().st_size - start
    else:
        with path.open("rb") as file:
            file.seek(start)
            try:
                there = len(unpack(file.read()))
            except (EOFError, OSError, ValueError, zlib.error) as error:
                raise unreadable(path, "the packed voxels are cut short or damaged") from error
    if there < needed:
        raise cut_short(path, there, needed)
    if there >= most:
        raise too_long(path, there, needed)


def _most(sizes: Sequence[int], needed: int) -> int:
    """So many bytes are a slice too much; fewer are padding."""
    return needed + needed // sizes[2]


def _no_size(path: Path) -> InputError:
    return InputError(f"{path}: the header gives no size of its voxels in millimetres; write the image again with it.")


def _meta_header(path: Path) -> Header:
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    at = start.find(b"ElementDataFile")
    end = start.find(b"\n", at) + 1
    fields = _fields(start[:end].decode("latin-1"), "=")
    if at < 0 or end == 0 or "elementdatafile" not in fields:
        raise unreadable(path, "a MetaImage without ElementDataFile")
    source = fields["elementdatafile"]
    return Header(fields, end, None if source.upper() == "LOCAL" else source)


def _check_meta_image(path: Path) -> tuple[dict[str, str], bool]:
    fields, end, source = _meta_header(path)
    kind = fields.get("elementtype", "").removeprefix("MET_").removesuffix("_ARRAY")
    sizes = [int(size) for size in fields.get("dimsize", "").split()]
    if kind not in _META_BYTES or not sizes:
        raise unreadable(path, "a MetaImage without size or type")
    check_is_3d((*sizes, int(fields.get("elementnumberofchannels", 1))), path, "image")
    if source is not None and (source.upper().startswith("LIST") or "%" in source):
        raise unreadable(path, "a MetaImage over several files")
    packed = zlib.decompress if fields.get("compresseddata", "false").lower() == "true" else None
    if not {"elementspacing", "elementsize"} & set(fields):
        raise _no_size(path)
    skip = end if source is None else int(fields.get("headersize", 0))
    needed = int(np.prod(sizes)) * _META_BYTES[kind]
    # a header of the length -1 is what stands before the voxels, which are last
    most = math.inf if skip < 0 else _most(sizes, needed)
    voxels = path if source is None else path.parent / source
    if source is not None and voxels.exists() and voxels.samefile(path):
        raise unreadable(path, "a MetaImage that names itself as the file of its voxels")
    _check_size(voxels, max(end if source is None else 0, skip), needed, most, packed)
    return fields, bool({"transformmatrix", "orientation", "rotation"} & set(fields))


def _nrrd_header(path: Path) -> Header:
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    ends = [(at, len(mark)) for mark in (b"\n\n", b"\r\n\r\n") if (at := start.find(mark)) >= 0]
    at, length = min(ends, default=(len(start), 0))
    fields = _fields(start[:at].decode("latin-1"), ":")
    return Header(fields, at + length, fields.get("data file", fields.get("datafile")))


def _check_nrrd(path: Path) -> tuple[dict[str, str], bool]:
    fields, end, source = _nrrd_header(path)
    sizes = tuple(int(size) for size in fields.get("sizes", "").split())
    kind = fields.get("type", "")
    if kind not in _NRRD_BYTES or not sizes:
        raise unreadable(path, "an NRRD file without sizes or type")
    check_is_3d(sizes, path, "image")
    unpackers = {"gz": gzip.decompress, "gzip": gzip.decompress, "bz2": bz2.decompress, "bzip2": bz2.decompress}
    encoding = fields.get("encoding", "raw").lower()
    if source is not None and (source.upper().startswith("LIST") or "%" in source):
        raise unreadable(path, "an NRRD file over several files")
    directions = fields.get("space directions")
    if directions is None and not _are_sizes(fields.get("spacings", "").split()[:3]):
        raise _no_size(path)
    if directions is not None and "none" in re.findall(r"\([^)]*\)|none", directions)[:3]:
        raise _no_size(path)
    if encoding in ("raw", *unpackers):
        skip, needed = int(fields.get("byte skip", 0)), int(np.prod(sizes)) * _NRRD_BYTES[kind]
        # -1: whatever stands before the voxels, which are last
        most = math.inf if skip < 0 or "line skip" in fields else _most(sizes, needed)
        start_of_voxels = max(0, skip) + (end if source is None else 0)
        _check_size(
            path if source is None else path.parent / source, start_of_voxels, needed, most, unpackers.get(encoding)
        )
    return fields, directions is not None and "space" in fields


def _are_sizes(words: Sequence[str]) -> bool:
    """Whether these are three lengths."""
    try:
        lengths = [float(word) for word in words]
    except ValueError:
        return False
    return len(lengths) == 3 and all(math.isfinite(length) and length != 0 for length in lengths)


# by name: ITK loads for two seconds when its first class is asked for
_HEADERS = {"NRRD": _nrrd_header, "MetaImage": _meta_header}
_FORMATS = {"NRRD": ("NrrdImageIO", _check_nrrd), "MetaImage": ("MetaImageIO", _check_meta_image)}


def itk_format(start: bytes) -> str | None:
    """ "NRRD", "MetaImage", or None, by the first bytes of a file."""
    if start.startswith(b"NRRD000"):
        return "NRRD"
    text = start.decode("latin-1").lower()
    return "MetaImage" if "ndims" in text and ("=" in text) else None


def named_voxels(path: Path) -> Path | None:
    """The file with the voxels, where this one is a NRRD or MetaImage header that names another.

    Raises:
        OSError: when the file cannot be read.
        InputError: when its header says nothing of the voxels.
    """
    with path.open("rb") as file:
        kind = itk_format(file.read(BEGINNING))
    source = _HEADERS[kind](path).source if kind else None
    return path.parent / source if source else None


def world_affine(spacing: np.ndarray, direction: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """From ITK's left, posterior, superior to an affine towards right, anterior, superior."""
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def itk_volume(reader: itk.ProcessObject) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (X x Y x Z) and affine of what a reader of 3D float images gives."""
    reader.Update()
    image = reader.GetOutput()
    voxels = np.array(itk.array_view_from_image(image).transpose(2, 1, 0), dtype=np.float32, order="C")
    direction = itk.array_from_matrix(image.GetDirection())
    return voxels, world_affine(np.array(image.GetSpacing()), direction, np.array(image.GetOrigin()))


def read_by_itk(path: Path, kind: str) -> Scan:
    """Read one NRRD or MetaImage volume.

    Raises:
        InputError: when the file is cut short or damaged, or is no 3D volume of one number for each voxel.
    """
    image_io, check = _FORMATS[kind]
    _, oriented = check(path)
    reader = itk.ImageFileReader[itk.Image[itk.F, 3]].New()
    reader.SetImageIO(getattr(itk, image_io).New())
    reader.SetFileName(str(path))
    voxels, affine = itk_volume(reader)
    warnings = () if oriented else (f"Header: {kind} without directions: where left and right are is not known.",)
    return Scan(voxels, affine, {}, warnings, oriented)
