# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The files that a scan consists of, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bundle.data.folders import files_below
from bundle.data.itk_formats import named_voxels
from bundle.data.nifti import PAIR, other_half
from bundle.errors import InputError
from bundle.files import sha256


def files_of(path: str | Path) -> list[tuple[str, Path]]:
    """The files that hold a scan, each with its name as seen from the folder that is given, or that a file lies in: all
    below a folder, both of a pair, or the one; none where there is nothing.

    What is wrong with a file that cannot be read is for its reader to say.

    Raises:
        InputError: when a folder cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return [(name, path / name) for name in files_below(path) if (path / name).is_file()]
    if not path.exists():
        return []
    ending = path.name.lower().removesuffix(".gz")[-4:]
    try:
        beside = other_half(path, PAIR if ending == PAIR[0] else PAIR[::-1]) if ending in PAIR else named_voxels(path)
    except (InputError, OSError):
        beside = None
    files = sorted([path, beside]) if beside is not None and beside.is_file() else [path]
    return [(os.path.relpath(file, path.parent), file) for file in files]


def scan_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, or of the names and contents of several.

    Raises:
        OSError: when one cannot be read.
        InputError: when a folder cannot be read.
    """
    files = files_of(path)
    if len(files) < 2 and not Path(path).is_dir():
        return sha256(path)
    parts = [f"{name} {sha256(file)}" for name, file in files]
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def stamps(*paths: str | Path) -> list[tuple[str, int, int]]:
    """Name, size and time of the last change (ns) of each file of some scans, wherever they lie; none of what is not
    there, or "".

    Raises:
        InputError: when a folder cannot be read.
    """
    files = (file for path in paths if str(path) for file in files_of(path))
    return [(name, (stat := file.stat()).st_size, stat.st_mtime_ns) for name, file in files]
