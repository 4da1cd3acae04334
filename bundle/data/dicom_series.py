# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Which DICOM files of a folder belong to one volume, and which volume is meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from bundle.data.folders import files_below
from bundle.errors import InputError

# fewer slices are no volume where others are to be had: localizers have one to three for each direction
FEWEST_SLICES = 4

# files without the mark "DICM", as old programs write them, begin with their first tag
FIRST_TAGS = (b"\x02\x00", b"\x08\x00")

# directions (unit vectors) and positions (mm) that differ by less are the same
SAME_DIRECTION = 1e-3
SAME_POSITION = 1e-2

# what differs between files of one series that make different volumes: digits of the value that count, a word for it
_APART = {
    "PatientID": (None, "person"),
    "StudyInstanceUID": (None, "study"),
    "FrameOfReferenceUID": (None, "frame of reference"),
    "ImageType": (None, "image type"),
    "EchoNumbers": (0, "echo"),
    "EchoTime": (1, "echo time"),
    "DiffusionBValue": (0, "b-value"),
    "TemporalPositionIdentifier": (0, "time point"),
    "ContrastBolusAgent": (None, "contrast agent"),
}
# values that tell a reader nothing, or who a person is: they are numbered
_NUMBERED = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
# what may differ within a volume too: looked at only where slices would lie on top of each other
_APART_IF_NEEDED = ("AcquisitionNumber", "TriggerTime", "InversionTime", "FlipAngle", "AcquisitionTime")

_READ = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("Modality", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"),
    *("Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation"),
    *("SpacingBetweenSlices", "SliceThickness", "ImagesInAcquisition", "PerFrameFunctionalGroupsSequence"),
    *("SharedFunctionalGroupsSequence", *_APART, *_APART_IF_NEEDED),
]


class Slice(NamedTuple):
    """A DICOM file with an image."""

    path: Path
    header: Dataset

    def number(self) -> str:
        """For sentences: name and number of the file."""
        return f"{self.path.name} (instance {self.header.get('InstanceNumber', 'without number')})"

    def numbers(self, keyword: str, count: int) -> np.ndarray | None:
        """The value of a tag as so many numbers; None where it is missing or is not so many."""
        value = self.header.get(keyword)
        if value is None:
            return None
        try:
            found = np.array(value if count > 1 else [value], dtype=float)
        except (TypeError, ValueError):
            return None
        return found if found.shape == (count,) else None

    def whole(self, keyword: str) -> int:
        """The value of a tag as a whole number; 0 where it is missing or is none."""
        found = self.numbers(keyword, 1)
        return int(found[0]) if found is not None and np.isfinite(found[0]) else 0

    def frames(self) -> int:
        return max(1, self.whole("NumberOfFrames"))


class Series(NamedTuple):
    """Files that may make one volume.

    Attributes:
        slices: one file a slice, or one file of many frames.
        detail: what tells it from the other volumes of the same series, in words; empty where nothing does.
    """

    slices: list[Slice]
    detail: str

    @property
    def uid(self) -> str:
        return str(self.slices[0].header.get("SeriesInstanceUID", ""))

    @property
    def description(self) -> str:
        return str(self.slices[0].header.get("SeriesDescription", "") or "without a description")

    def count(self) -> int:
        return sum(piece.frames() for piece in self.slices)

    def may_be_a_volume(self) -> bool:
        header = self.slices[0].header
        an_image = "LOCALIZER" not in (header.get("ImageType") or "") and header.get("Modality") != "SEG"
        return an_image and self.count() >= FEWEST_SLICES and plane(self.slices[0]) != "no position"

    def words(self) -> str:
        first = self.slices[0].header
        parts = [f"{self.count()} {plane(self.slices[0])} slices of {first.Columns} x {first.Rows}", self.detail]
        number = first.get("SeriesNumber")
        return (
            f"{self.description} ({f'series {number}, ' if number is not None else ''}{', '.join(filter(None, parts))})"
        )


def plane(piece: Slice) -> str:
    """ "axial", "coronal", "sagittal", "no position", or "" for a file of many frames."""
    axes = piece.numbers("ImageOrientationPatient", 6)
    if axes is None or piece.numbers("ImagePositionPatient", 3) is None:
        return "" if piece.frames() > 1 else "no position"
    return ("sagittal", "coronal", "axial")[int(np.abs(np.cross(axes[:3], axes[3:])).argmax())]


def read_slice(path: Path) -> Slice | None:
    """The header of a DICOM file with an image of one grey value for each pixel; None for any other file.

    Raises:
        InputError: when the file has other pixels than its header says.
    """
    if not path.is_file():
        # a link that leads nowhere, or a pipe, which would be waited for
        return None
    try:
        with path.open("rb") as file:
            start = file.read(132)
            marked = start[128:] == b"DICM"
            if not marked and start[:2] not in FIRST_TAGS:
                return None
            file.seek(0)
            header = pydicom.dcmread(file, stop_before_pixels=True, force=not marked, specific_tags=_READ)
            rest = path.stat().st_size - file.tell()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    except Exception:
        return None
    if not header.get("Rows") or not header.get("Columns") or int(header.get("SamplesPerPixel") or 1) != 1:
        return None
    piece = Slice(path, header)
    meta = getattr(header, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    packed = syntax is not None and (syntax.is_compressed or syntax.is_deflated)
    needed = header.Rows * header.Columns * piece.frames() * (header.get("BitsAllocated") or 16) // 8
    if not packed and rest < needed:
        raise InputError(
            f"{path}: the file is cut short ({max(0, rest)} bytes of pixels instead of {needed}); export it again."
        )
    if not packed and rest >= 2 * needed:
        raise InputError(
            f"{path}: the file has {rest} bytes of pixels where its header tells of {needed}; export it again."
        )
    return piece


def _value(piece: Slice, keyword: str, digits: int | None) -> Any:
    value = piece.header.get(keyword)
    if value is None or digits is None:
        return str(value)
    try:
        return round(float(value), digits)
    except (TypeError, ValueError):
        return str(value)


def _by_direction(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Files with the same directions of rows and columns."""
    groups: list[tuple[np.ndarray | None, list[Slice]]] = []
    for piece in slices:
        axes = piece.numbers("ImageOrientationPatient", 6)
        for other, group in groups:
            same = axes is other is None
            if axes is not None and other is not None:
                same = bool(np.abs(axes - other).max() < SAME_DIRECTION)
            if same:
                group.append(piece)
                break
        else:
            groups.append((axes, [piece]))
    return [group for _, group in groups]


def _overlap(slices: Sequence[Slice]) -> bool:
    """Whether two files lie at the same place."""
    positions = [p for piece in slices if (p := piece.numbers("ImagePositionPatient", 3)) is not None]
    orientation = slices[0].numbers("ImageOrientationPatient", 6)
    if orientation is None:
        return False
    normal = np.cross(orientation[:3], orientation[3:])
    along = sorted(float(position @ normal) for position in positions)
    return any(b - a < SAME_POSITION for a, b in pairwise(along))


def _parts(slices: list[Slice]) -> list[list[Slice]]:
    """Apart what lies on top of each other, by the first tag that does so."""
    if slices[0].numbers("ImageOrientationPatient", 6) is None or not _overlap(slices):
        return [slices]
    for keyword in _APART_IF_NEEDED:
        parts: dict[Any, list[Slice]] = {}
        for piece in slices:
            parts.setdefault(_value(piece, keyword, 3), []).append(piece)
        if len(parts) > 1 and not any(_overlap(part) for part in parts.values()):
            return list(parts.values())
    return [slices]


def _without_copies(slices: list[Slice]) -> tuple[list[Slice], list[Path]]:
    """Without the files that are another one once more, byte for byte; and those."""
    first: dict[Any, Slice] = {}
    copies = []
    for piece in slices:
        known = first.setdefault(piece.header.get("SOPInstanceUID", piece.path), piece)
        if known is not piece:
            if known.path.read_bytes() == piece.path.read_bytes():
                copies.append(piece.path)
            else:
                first[piece.path] = piece
    return list(first.values()), copies


class Found(NamedTuple):
    """What lies below a folder.

    Attributes:
        series: apart by all that makes different volumes.
        copies: files that are another one once more.
        no_images: files that are no DICOM images of grey values.
    """

    series: list[Series]
    copies: list[Path]
    no_images: list[Path]


def find_series(folder: Path) -> Found:
    """The series below a folder.

    Raises:
        InputError: when a file is cut short.
    """
    paths = [folder / path for path in files_below(folder) if os.path.basename(path).upper() != "DICOMDIR"]
    read = {path: read_slice(path) for path in paths}
    no_images = [path for path, piece in read.items() if piece is None]
    slices, copies = _without_copies([piece for piece in read.values() if piece is not None])
    together: dict[Any, list[Slice]] = {}
    for piece in slices:
        spacing = piece.numbers("PixelSpacing", 2)
        key = (
            piece.whole("SeriesNumber"),
            str(piece.header.get("SeriesInstanceUID", "")),
            (piece.header.Rows, piece.header.Columns),
            None if spacing is None else tuple(spacing.round(4)),
            str(piece.path) if piece.frames() > 1 else "",
            *(_value(piece, keyword, digits) for keyword, (digits, _) in _APART.items()),
        )
        together.setdefault(key, []).append(piece)
    groups = [
        (key, part)
        for key, group in sorted(together.items(), key=lambda item: (item[0][0], str(item[0])))
        for direction in _by_direction(group)
        for part in _parts(direction)
    ]
    result = []
    for key, slices in groups:
        others = [other[5:] for other, _ in groups if other[1] == key[1]]
        details = []
        for keyword, value, values in zip(_APART, key[5:], zip(*others)):
            different = list(dict.fromkeys(values))
            if len(different) > 1:
                shown = different.index(value) + 1 if keyword in _NUMBERED else value
                details.append(f"{_APART[keyword][1]} {shown}")
        result.append(Series(slices, ", ".join(details)))
    return Found(result, copies, no_images)


def choose_series(series: Sequence[Series], folder: Path, wanted: str = "") -> Series:
    """The series that is meant.

    Args:
        series: of the folder.
        folder: for the sentences.
        wanted: number in the list that an error shows (from 1), UID or description; empty for the only volume.

    Raises:
        InputError: when none or several are meant; it lists them.
    """
    if not series:
        raise InputError(f"{folder}: no DICOM image in the folder; give a folder with the files of a DICOM series.")
    listed = "".join(f"\n    {i}: {one.words()}, UID {one.uid}" for i, one in enumerate(series, 1))
    candidates = list(series)
    if wanted:
        text = wanted.strip().casefold()
        number = int(text) if text.isdigit() else 0
        if 1 <= number <= len(series):
            return series[number - 1]
        for same in (
            lambda one: one.uid.casefold() == text,
            lambda one: one.description.casefold() == text,
            lambda one: text in one.description.casefold(),
        ):
            if candidates := [one for one in series if same(one)]:
                break
        else:
            raise InputError(
                f'{folder}: no series "{wanted}"; choose one by --series, its number, UID or description:{listed}'
            )
    if len(candidates) == 1:
        return candidates[0]
    volumes = [one for one in candidates if one.may_be_a_volume()]
    if len(volumes) == 1:
        return volumes[0]
    raise InputError(
        f"{folder}: a folder with {len(candidates)} DICOM series (volumes that must not be mixed); choose one by "
        f"--series, its number, UID or description:{listed}"
    )
