# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The folder that is served: copies of the scans, so that no request can reach an original."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from bundle.data import inference_data, read_volume
from bundle.data.scan_files import stamps
from bundle.errors import InputError
from bundle.files import replaced, write_whole
from bundle.label.names import LONGEST_NAME

ENDING = ".nii.gz"
_LIST = "copied.json"  # which copy is of which original
_SAID = "said.json"  # what the reader of an original said that its copy does not tell


def folder_of(studies: Path, work: Path) -> Path:
    """Where the copies and labels of one folder of scans are kept, apart from those of any other."""
    mark = hashlib.sha256(os.fsencode(studies)).hexdigest()[:8]
    return work / f"{_plain(studies.name) or 'studies'}-{mark}"


def _plain(name: str) -> str:
    """A name that a request may bring."""
    name = re.sub(r"[^\w. +=,@()\[\]{}~^$!&'-]|%", "_", name, flags=re.UNICODE)
    name = re.sub(r"\.nii(?=\.|$)|\.{2,}|^\.", "_", name)
    return name.encode()[: LONGEST_NAME - 40].decode(errors="ignore").strip()


def _ids(cases: list[str]) -> list[str]:
    """A plain name of its own for each case."""
    taken: dict[str, str] = {}
    for case in cases:
        plain = _plain(case) or "scan"
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken[name.lower()] = name
    return list(taken.values())


def _copy(source: Path, series: str, target: Path) -> str:
    """Copy a NIfTI file as it is, or write what else can be read as one; the copy cannot be written to.

    Returns:
        str: one sentence a line that the reader of the copy will not say again.
    """
    said = ""
    with replaced(target) as unfinished:
        if source.is_file() and source.name.endswith((".nii", ".nii.gz")):
            shutil.copyfile(source, unfinished)
        else:
            volume = read_volume(source, series=series)
            nib.save(nib.Nifti1Image(volume[0].numpy(), np.asarray(volume.affine, dtype=float)), unfinished)
            said = volume.meta["read_warnings"]
        unfinished.chmod(0o444)
    return said


class Beside(NamedTuple):
    """What lies beside a scan that is served; it is read where it is, and no request reaches it.

    Attributes:
        others: paths of further contrasts, by the word of ``--modality``.
        brain_mask: path; "" for none.
        said: warnings about the original, one a line, that its copy does not give again.
    """

    others: Mapping[str, str] = {}
    brain_mask: str = ""
    said: str = ""


def list_studies(studies: Path, **which: Any) -> list[dict[str, Any]]:
    """The scans to serve.

    Args:
        studies: a folder of scans, one scan, or a datalist (JSON).
        which: further arguments of :py:func:`bundle.data.inference_data`.

    Raises:
        InputError: when there is none, or the brain mask of one is not clear.
    """
    source = "datalist" if studies.suffix == ".json" else "image"
    volumes = list(inference_data(**{source: str(studies)}, **which))
    for volume in volumes:
        if "fault" in volume:
            raise InputError(volume["fault"])
    return volumes


def copy_studies(studies: Path, volumes: Sequence[Mapping[str, Any]], work: Path) -> tuple[Path, dict[str, Beside]]:
    """Bring the copies of a folder of scans up to date.

    What has not changed is not copied again. Copies of scans that are gone are removed; labels stay.

    Args:
        studies: where the scans are from; other studies have another folder.
        volumes: see :py:func:`list_studies`.
        work: where copies are kept.

    Returns:
        tuple: the folder to serve, and what lies beside the scans, by the names of their copies.

    Raises:
        InputError: when a scan cannot be read, or the disk has no room for the copies.
    """
    folder = folder_of(studies, work)
    folder.mkdir(parents=True, exist_ok=True)
    before, said = (json.loads(path.read_text()) if path.is_file() else {} for path in (folder / _LIST, folder / _SAID))
    originals: dict[str, tuple[Path, str]] = {}
    now: dict[str, list[Any]] = {}
    beside: dict[str, Beside] = {}
    for name, volume in zip(_ids([str(volume["case"]) for volume in volumes]), volumes):
        source, series = Path(volume["image"]).resolve(), str(volume.get("series", ""))
        copy = f"{name}{'.nii' if source.name.endswith('.nii') and source.is_file() else ENDING}"
        originals[copy] = source, series
        # another DICOM series of a folder is another original
        now[copy] = [f"{source}, series {series}" if series else str(source), *map(list, stamps(source))]
        beside[copy] = Beside(volume.get("others", {}), volume.get("brain_mask", ""))
    for name in set(before) - set(now):
        (folder / name).unlink(missing_ok=True)
    for name in set(before) & set(now):
        _check_labels_stay(folder, name, before[name][0], now[name][0])
    changed = [name for name, state in now.items() if before.get(name) != state or not (folder / name).is_file()]
    _check_room(folder, sum(size for name in changed for _, size, _ in now[name][1:]))
    for name in changed:
        said[name] = _copy(*originals[name], folder / name)
    write_whole(folder / _SAID, json.dumps(said, indent=1))
    # what is gone stays on the list: its labels are still there, and belong to no other scan
    write_whole(folder / _LIST, json.dumps({**before, **now}, indent=1))
    return folder, {name: own._replace(said=said.get(name, "")) for name, own in beside.items()}


def _check_labels_stay(folder: Path, name: str, was: str, is_now: str) -> None:
    """Refuse to give the labels of one scan to another one that has come to bear its name."""
    labels = [*(folder / "labels").glob(f"*/{glob.escape(name.removesuffix('.gz').removesuffix('.nii'))}.nii*")]
    if was != is_now and labels:
        raise InputError(
            f"{labels[0]}: this is a label of {was}, but the name is now that of {is_now}; move the label elsewhere."
        )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: the copies of the scans need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "choose another --work_dir."
        )
