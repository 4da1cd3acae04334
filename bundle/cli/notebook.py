# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""``itermask2 segment`` for a notebook: one scan in memory or on disk, its results in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import nibabel as nib
import numpy as np

from bundle.cases import finished_cases
from bundle.cli.contrasts import put_together
from bundle.cli.random_numbers import callers_random_numbers
from bundle.cli.workflow import run_configs
from bundle.data import read_volume
from bundle.errors import InputError, input_error


class Segmentation(NamedTuple):
    """What was found in a scan.

    Attributes:
        mask: 1 where a lesion is, 0 elsewhere (uint8), on the grid of the scan.
        score: lesion score of each voxel, on the grid of the scan; None from a model without a judge.
        statistics: volume in millilitres, components, warnings, and what else ``_statistics.json`` holds.
    """

    mask: nib.Nifti1Image
    score: nib.Nifti1Image | None
    statistics: dict[str, Any]


# settings of a run over many scans, whose results stay on disk
_OF_MANY = ("image", "dataset_dir", "datalist", "split", "pattern", "output_dir", "overwrite", "shard")


def _in_memory(path: Path) -> nib.Nifti1Image:
    image = cast(nib.Nifti1Image, nib.load(path))
    return nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)


def _is_array(volume: Any) -> bool:
    """Whether a volume is neither a path nor an image that knows its affine."""
    return not isinstance(volume, (str, os.PathLike, nib.spatialimages.SpatialImage))


def _affine_of(image: str | Mapping[str, str]) -> np.ndarray:
    """The affine of a scan, or of the one that leads."""
    path = next(iter(image.values())) if isinstance(image, Mapping) else image
    return np.asarray(read_volume(path).affine)


def _on_disk(volume: Any, affine: Any, path: Path, role: str) -> str:
    """The path of a volume, which is written where it is none."""
    if isinstance(volume, (str, os.PathLike)):
        if not str(volume):
            raise InputError(f"The path of the {role} is empty; give the path of a file, or of a folder with DICOM.")
        return str(volume)
    if _is_array(volume):
        if not hasattr(volume, "__array__"):
            raise InputError(f"The {role} is {volume!r:.50}; give a path, a NIfTI image, or an array and its affine.")
        if affine is None or np.shape(affine) != (4, 4):
            raise InputError(f"The {role} is an array: give its 4 x 4 affine too, or give a path or a NIfTI image.")
        matrix = np.asarray(affine, dtype=float)
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
            raise InputError(f"The affine of the {role} is no way from voxels to millimetres; give that of the scan.")
        array = np.asarray(volume.detach() if hasattr(volume, "detach") else volume)
        if array.dtype.kind not in "biuf":
            raise InputError(f"The {role} holds values of the type {array.dtype}; give real numbers.")
        volume = nib.Nifti1Image(array.astype(np.uint8 if array.dtype == bool else np.float32), affine)
    nib.save(volume, path)
    return str(path)


def segment(
    scan: Any, affine: Any = None, brain_mask: Any = None, config: str | Sequence[str] = (), **settings: Any
) -> Segmentation:
    """Find lesions in one scan.

    Args:
        scan: a path (NIfTI file, or folder with one DICOM series), a nibabel image, or an array (W x H x D) with its
            affine; skull-stripped, or with a brain mask. Or several contrasts of one scan, to be used together: a
            dictionary of these by the word of ``--modality``, the leading one first.
        affine: of the array, 4 x 4, from voxels to millimetres.
        brain_mask: of the scan: a path, a nibabel image, or an array on the scan's grid.
        config: name or path of a config to lay over, such as "published", or several of them.
        settings: options of ``itermask2 segment``, such as ``device="cpu"`` or ``modality="t2"``.

    Raises:
        InputError: saying in one sentence what is wrong with the scan or a setting.
    """
    if others := [name for name in _OF_MANY if name in settings]:
        raise InputError(
            f"{others[0]}: no setting of segment, which takes one scan and gives results in memory; use the command "
            "itermask2 segment for results on disk."
        )
    config = [config] if isinstance(config, str) else config
    with tempfile.TemporaryDirectory() as folder:
        inputs, output = Path(folder) / "input", Path(folder) / "output"
        inputs.mkdir()
        values: dict[str, Any] = {}
        if isinstance(scan, Mapping):
            scan = {name: volume for name, volume in scan.items() if volume is not None}
            if not scan:
                raise InputError("No scan was given; give images by contrast, as in {'flair': path, 't1': path}.")
            values["image"] = {
                name: _on_disk(volume, affine, inputs / f"{name}.nii.gz", name) for name, volume in scan.items()
            }
            config = put_together(list(scan), config, settings)
        else:
            values["image"] = _on_disk(scan, affine, inputs / "scan.nii.gz", "scan")
        if brain_mask is not None:
            if affine is None and _is_array(brain_mask):
                affine = _affine_of(values["image"])
            values["brain_mask"] = _on_disk(brain_mask, affine, inputs / "brain_mask.nii.gz", "brain mask")
        values |= {"output_dir": str(output), "progress": False, "announce": False, **settings}
        try:
            with callers_random_numbers():
                run_configs("inference", ["inference", *config], values, quiet=True)
        except Exception as error:
            fault = input_error(error)
            if fault is None:
                raise
            raise fault from None
        found = list(finished_cases(output))
        if len(found) != 1:
            raise InputError(f"{values['image']}: {len(found)} scans; give one scan, or use itermask2 segment.")
        case = found[0]
        score = _in_memory(case.file("score")) if case.has("score") else None
        return Segmentation(_in_memory(case.file("mask")), score, case.statistics())
