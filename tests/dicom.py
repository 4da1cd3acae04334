"""Small DICOM series, written with pydicom: one file for each slice, or one file of many frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.2.1125"
MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


def _write(path: Path, pixels: np.ndarray, number: int, series: str, kind: str, tags: dict[str, Any]) -> None:
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = kind
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.3.{series}.{number}"
    file.StudyInstanceUID, file.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2.{series}"
    file.Modality, file.InstanceNumber, file.SeriesNumber = "MR", number, int(series)
    file.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    file.Rows, file.Columns = pixels.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.PixelData = pixels.astype("<i2").tobytes()
    for name, value in tags.items():
        if value is None:
            file.pop(name, None)
        else:
            setattr(file, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)


def _place(affine: np.ndarray, k: int) -> tuple[list[float], list[float], list[float]]:
    """Position, orientation and pixel spacing of slice ``k`` of the last axis."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    position = lps[:3, 2] * k + lps[:3, 3]
    axes = (lps[:3, :2] / spacing[:2]).T.ravel()
    return position.round(6).tolist(), axes.round(8).tolist(), [float(spacing[1]), float(spacing[0])]


def write_series(
    volume: np.ndarray,
    affine: np.ndarray,
    folder: Path,
    series: str = "1",
    start: int = 1,
    per_slice: Callable[[int], dict[str, Any]] | None = None,
    **tags: Any,
) -> list[Path]:
    """One file per slice of the last axis; ``per_slice(k)`` gives tags of slice ``k``, None takes one away."""
    paths = []
    for k in range(volume.shape[2]):
        position, axes, spacing = _place(affine, k)
        place = {"ImagePositionPatient": position, "ImageOrientationPatient": axes, "PixelSpacing": spacing}
        place["SliceThickness"] = float(np.linalg.norm(affine[:3, 2]))
        paths.append(folder / f"{series}_{start + k:03d}.dcm")
        own = per_slice(k) if per_slice else {}
        _write(paths[-1], volume[:, :, k].T, start + k, series, MR, {**place, **tags, **own})
    return paths


def write_frames(volume: np.ndarray, affine: np.ndarray, path: Path, order: list[int] | None = None) -> Path:
    """One file with a frame for each slice of the last axis, in any order."""
    order = order or list(range(volume.shape[2]))
    frames = []
    for k in order:
        position, axes, spacing = _place(affine, k)
        frame, place, turn, size = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turn.ImageOrientationPatient = position, axes
        size.PixelSpacing, size.SliceThickness = spacing, float(np.linalg.norm(affine[:3, 2]))
        frame.PlanePositionSequence, frame.PlaneOrientationSequence = [place], [turn]
        frame.PixelMeasuresSequence = [size]
        frames.append(frame)
    tags = {"NumberOfFrames": len(order), "PerFrameFunctionalGroupsSequence": frames}
    tags["SharedFunctionalGroupsSequence"] = [Dataset()]
    _write(path, np.stack([volume[:, :, k].T for k in order]), 1, "1", ENHANCED_MR, tags)
    return path
