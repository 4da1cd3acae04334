# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Reading a DICOM series as one volume, whose geometry is checked slice by slice before any pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import itk
import numpy as np

from bundle.data.dicom_series import (
    SAME_DIRECTION,
    SAME_POSITION,
    Found,
    Series,
    Slice,
    choose_series,
    find_series,
    read_slice,
)
from bundle.data.itk_formats import itk_volume
from bundle.data.scan import Scan, unreadable
from bundle.errors import InputError

# share of the usual distance between slices by which one may differ, and the rounding of positions in mm
_UNEVEN = 0.02
_ROUNDING = 0.02

# slices that shift against each other by more (share of their distance) make a sheared volume, as a tilted gantry does
_SHEAR = 0.01

# a pixel or a distance between slices beyond is a fault of the header, in mm
_SIZES_MM = (0.01, 50.0)


# words of the image type of what is derived from a scan and shows no slice of tissue
_NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "PROJECTION IMAGE", "MIP", "MINIP"}

# and of maps that were computed from several scans
_MAPS = {"ADC", "EADC", "FA", "FRACTIONAL ANISOTROPY", "T1 MAP", "T2 MAP", "T2_STAR MAP", "CBF", "CBV", "MTT", "TTP"}


class Stack(NamedTuple):
    """Where slices lie: their order and the affine of the volume in that order."""

    order: list[int]
    affine: np.ndarray
    warnings: list[str]


def _axes(directions: np.ndarray | None, spacing: np.ndarray | None, name: str, folder: Path) -> np.ndarray:
    """The steps from pixel to pixel along a row and along a column, 2 x 3, in mm.

    Raises:
        InputError: when directions or sizes are missing or impossible.
    """
    if directions is None or spacing is None:
        missing = "the directions of its rows and columns" if directions is None else "the size of its pixels"
        raise InputError(f"{folder}: {name} does not say {missing}; export the series again, or as NIfTI.")
    row, column = np.split(directions, 2)
    finite = np.isfinite(directions).all() and np.isfinite(spacing).all()
    lengths = [np.linalg.norm(row) - 1, np.linalg.norm(column) - 1, row @ column]
    if not finite or np.abs(lengths).max() > 10 * SAME_DIRECTION:
        raise InputError(f"{folder}: the rows and columns of {name} are not at right angles; export the series again.")
    if not ((spacing > _SIZES_MM[0]) & (spacing < _SIZES_MM[1])).all():
        raise InputError(
            f"{folder}: the pixels of {name} are {spacing[0]:g} x {spacing[1]:g} mm large; correct the pixel spacing."
        )
    return np.stack([row * spacing[1], column * spacing[0]])


def stack_of(positions: Sequence[np.ndarray | None], axes: np.ndarray, names: Sequence[str], folder: Path) -> Stack:
    """Order slices along their normal, and make sure that they lie one after the other at equal distances.

    Args:
        positions: of the first pixel of each slice, mm (left, posterior, superior).
        axes: steps along a row and along a column, 2 x 3, mm.
        names: of the slices, for the sentences.
        folder: for the sentences.

    Raises:
        InputError: when a slice has no position, two lie at the same place, some are missing or lie aside.
    """
    for position, name in zip(positions, names):
        if position is None or not np.isfinite(position).all():
            raise InputError(f"{folder}: {name} has no position in space; export the series again, or as NIfTI.")
    places = np.array(positions)
    normal = np.cross(*axes)
    normal /= np.linalg.norm(normal)
    along = places @ normal
    order = np.argsort(along, kind="stable").tolist()
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    for (a, b), step in zip(pairwise(order), steps):
        if step < SAME_POSITION:
            raise InputError(
                f"{folder}: {names[a]} and {names[b]} lie at the same place (two echoes, time points or copies); "
                "leave one of them out."
            )
    for (a, b), step in zip(pairwise(order), steps):
        if abs(step - usual) > _UNEVEN * usual + _ROUNDING:
            number = round(step / usual) - 1
            missing = f"{number} slices are missing" if number > 0 else "the distances are uneven"
            raise InputError(
                f"{folder}: between {names[a]} and {names[b]} lie {step:.2f} mm, between the other slices {usual:.2f} "
                f"mm, so {missing}; export the whole series again."
            )
    if not _SIZES_MM[0] < usual < _SIZES_MM[1]:
        raise InputError(f"{folder}: the slices are {usual:g} mm apart; correct their positions.")
    sorted_places = places[order]
    # the line of most slices, so that one aside is found whichever it is
    half = max(1, len(order) // 2)
    line = np.arange(len(order))[:, None] * np.median(sorted_places[half:] - sorted_places[:-half], axis=0) / half
    aside = np.linalg.norm(sorted_places - line - np.median(sorted_places - line, axis=0), axis=1)
    if aside.max() > _UNEVEN * usual + 2 * _ROUNDING:
        worst = order[int(aside.argmax())]
        raise InputError(
            f"{folder}: {names[worst]} lies {aside.max():.1f} mm aside of the line of the others (slices that are "
            "tilted or shifted against each other are no volume); leave it out, or export the series again."
        )
    warnings = []
    between = (sorted_places[-1] - sorted_places[0]) / (len(order) - 1)
    shear = np.linalg.norm(between - (between @ normal) * normal)
    if shear > _SHEAR * usual:
        warnings.append(
            f"DICOM: each slice is shifted by {shear:.2f} mm against the one before (a tilted gantry); the mask keeps "
            "this sheared grid."
        )
    else:
        between = (between @ normal) * normal
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*axes, between], axis=1)
    affine[:3, 3] = places[order[0]]
    return Stack(order, np.diag([-1.0, -1, 1, 1]) @ affine, warnings)


def _itk_reader(paths: Sequence[Path]) -> itk.ProcessObject:
    image = itk.Image[itk.F, 3]
    if len(paths) == 1:
        reader = itk.ImageFileReader[image].New()
        reader.SetFileName(str(paths[0]))
    else:
        reader = itk.ImageSeriesReader[image].New()
        reader.SetFileNames([str(path) for path in paths])
    reader.SetImageIO(itk.GDCMImageIO.New())
    return reader


def _pixels(paths: Sequence[Path], source: Path) -> np.ndarray:
    # the places of slices are checked here: no second word on them
    itk.ProcessObject.GlobalWarningDisplayOff()
    try:
        return itk_volume(_itk_reader(paths))[0]
    except RuntimeError as error:
        raise unreadable(source, "its pixels are damaged or packed in an unknown way") from error


def _read_slices(slices: Sequence[Slice], folder: Path) -> Scan:
    """Read files of one slice each."""
    first = slices[0]
    name = first.number()
    spacing = first.numbers("PixelSpacing", 2)
    axes = _axes(first.numbers("ImageOrientationPatient", 6), spacing, name, folder)
    positions = [piece.numbers("ImagePositionPatient", 3) for piece in slices]
    names = [piece.number() for piece in slices]
    if len(slices) > 1:
        stack = stack_of(positions, axes, names, folder)
    else:
        thickness = first.numbers("SpacingBetweenSlices", 1)
        thickness = first.numbers("SliceThickness", 1) if thickness is None else thickness
        if positions[0] is None or thickness is None or spacing is None:
            raise InputError(f"{folder}: {name} has no position or thickness; give the whole series, or a NIfTI file.")
        normal = np.cross(*axes) / np.prod(spacing)
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = np.stack([*axes, normal * thickness[0]], axis=1), positions[0]
        stack = Stack([0], np.diag([-1.0, -1, 1, 1]) @ affine, [])
    voxels = _pixels([slices[i].path for i in stack.order], folder)
    return Scan(voxels, stack.affine, {}, tuple(stack.warnings))


def _read_frames(piece: Slice, folder: Path) -> Scan:
    """Read a file of many frames, whose positions stand in its functional groups."""
    header = piece.header
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        raise InputError(
            f"{folder}: {piece.path.name} has many frames and does not say where they lie; export it as a series of "
            "single slices, or as NIfTI."
        )
    voxels = _pixels([piece.path], folder)
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]

    def numbers(frame, sequence: str, keyword: str) -> np.ndarray | None:
        found = frame.get(sequence) or shared.get(sequence)
        value = found[0].get(keyword) if found else None
        return None if value is None else np.array(value, dtype=float)

    names = [f"frame {i + 1} of {piece.path.name}" for i in range(len(frames))]
    directions = [numbers(frame, "PlaneOrientationSequence", "ImageOrientationPatient") for frame in frames]
    for direction, name in zip(directions, names):
        if (direction is None) != (directions[0] is None) or (
            direction is not None and np.abs(direction - directions[0]).max() > SAME_DIRECTION
        ):
            raise InputError(
                f"{folder}: {name} is turned against the first, so this is no volume; export the series again."
            )
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        scales = [numbers(frame, "PixelValueTransformationSequence", keyword) for frame in frames]
        if len({None if scale is None else float(scale) for scale in scales}) == 1:
            continue
        raise InputError(f"{folder}: the frames of {piece.path.name} differ in scale; convert it to NIfTI first.")
    axes = _axes(directions[0], numbers(frames[0], "PixelMeasuresSequence", "PixelSpacing"), names[0], folder)
    positions = [numbers(frame, "PlanePositionSequence", "ImagePositionPatient") for frame in frames]
    stack = stack_of(positions, axes, names, folder)
    return Scan(np.ascontiguousarray(voxels[:, :, stack.order]), stack.affine, {}, tuple(stack.warnings))


def _left_aside(found: Found, chosen: Series) -> list[str]:
    others = [one.words() for one in found.series if one is not chosen]
    said = []
    if others:
        said.append(f"DICOM: read was {chosen.words()}; left aside: {'; '.join(others)}.")
    for paths, what in ((found.copies, "copies of others"), (found.no_images, "no images of grey values")):
        if paths:
            said.append(f"DICOM: {len(paths)} files are {what} and were left out, such as {paths[0].name}.")
    return said


def _refuse_part_of_a_series(piece: Slice) -> None:
    """Refuse a slice whose series goes on in the files beside it.

    Raises:
        InputError: when it does.
    """
    uid = piece.header.get("SeriesInstanceUID")
    others = (read_slice(path) for path in sorted(piece.path.parent.iterdir()) if path != piece.path)
    if uid and piece.frames() == 1 and any(other and other.header.get("SeriesInstanceUID") == uid for other in others):
        raise InputError(
            f"{piece.path}: one slice of a series, of which more lie beside it; give the folder {piece.path.parent}."
        )


def read_dicom(path: Path, series: str = "") -> Scan:
    """Read one volume.

    Args:
        path: of a folder with DICOM files, in it or in folders below it, or of one file.
        series: which one, where there are several: number in the list that the error shows, UID or description.

    Raises:
        InputError: when no series, or more than one, is meant, or its slices do not make a volume.
    """
    if path.is_dir():
        found = find_series(path)
        chosen = choose_series(found.series, path, series)
        warnings = _left_aside(found, chosen)
    else:
        piece = read_slice(path)
        if piece is None:
            raise unreadable(path, "DICOM without an image of grey values")
        _refuse_part_of_a_series(piece)
        chosen, warnings = Series([piece], ""), []
    header = chosen.slices[0].header
    for piece in chosen.slices:
        kind = piece.header.get("PhotometricInterpretation") or "MONOCHROME2"
        if kind != "MONOCHROME2":
            what = "inverted" if kind == "MONOCHROME1" else "colours"
            raise InputError(
                f"{path}: the grey values of {piece.number()} are {what} ({kind}); export the series as MONOCHROME2."
            )
    kinds = header.get("ImageType") or ()
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if "MOSAIC" in kinds:
        raise InputError(f"{path}: its slices lie as tiles in one image (MOSAIC); convert the series to NIfTI first.")
    modality = header.get("Modality")
    if modality not in (None, "", "MR"):
        warnings.append(f"DICOM: the modality is {modality} and not MR; the result is not to be trusted.")
    if no_magnitude := sorted(_NO_MAGNITUDE & kinds):
        warnings.append(
            f"DICOM: the image type says {no_magnitude[0]}, so this is a phase or projection image and no scan of the "
            "brain's slices; the result is not to be trusted."
        )
    if maps := sorted(_MAPS & kinds):
        warnings.append(
            f"DICOM: the image type says {maps[0]}, so this is a map that was computed from other scans; an ADC map is "
            "right for the modality adc, any other map for none."
        )
    announced = chosen.slices[0].whole("ImagesInAcquisition")
    if announced > chosen.count():
        warnings.append(f"DICOM: {chosen.count()} slices are here, but the series says that it has {announced}.")
    read = _read_frames(chosen.slices[0], path) if chosen.slices[0].frames() > 1 else _read_slices(chosen.slices, path)
    return read._replace(warnings=(*warnings, *read.warnings))
