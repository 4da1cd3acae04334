# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Which files below a folder are scans, and which are passed over."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bundle.data.case_names import HEADERS, IMAGES, stem_of
from bundle.data.dicom_series import read_slice
from bundle.data.folders import files_below, matches
from bundle.data.scan_files import files_of

# last words of the names of files that lie beside images and are none
LABELS = ("seg", "mask", "label", "labels", "dseg", "lesion", "lesions", "roi")

# and of what a run leaves beside a mask
NOT_IMAGES = (*LABELS, "error", "reconstruction", "iterations", "hidden", "score", "coil_field")


def _last_word(words: Collection[str]) -> re.Pattern[str]:
    return re.compile(f"(?<![A-Za-z])(?:{'|'.join(words)})$", re.IGNORECASE)


_LABEL, _NOT_IMAGE = _last_word(LABELS), _last_word(NOT_IMAGES)

# so many names of files are listed
_MOST_LISTED = 50


def is_image(path: str | Path) -> bool:
    """Whether a file is, by its name, an image and no mask or result that lies beside one."""
    return str(path).lower().endswith(IMAGES) and _NOT_IMAGE.search(stem_of(path)) is None


def is_label(path: str | Path) -> bool:
    """Whether a file is, by its name, a mask that lies beside an image."""
    return str(path).lower().endswith(IMAGES) and _LABEL.search(stem_of(path)) is not None


def volumes_in(folder: Path, pattern: str) -> list[str]:
    """All images below a folder that fit a pattern, without the masks and results that lie beside them."""
    fitting = (folder / path for path in files_below(folder) if matches(path, pattern))
    return [str(path) for path in fitting if is_image(path) and path.is_file()]


def listed(names: Sequence[str]) -> str:
    """Names of files, in words; of very many the first ones, and how many more there are."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(names[:_MOST_LISTED])}{more}"


def passed_over(folder: Path, taken: Collection[str]) -> list[str]:
    """Sentences that count and list the files below a folder that a run does not take, by reason."""
    # the voxels of a header that was taken lie in a file beside it
    beside = {str(file) for path in taken if path.lower().endswith(HEADERS) for _, file in files_of(path)}
    reasons: dict[str, list[str]] = {}
    for name in files_below(folder):
        path = folder / name
        if str(path) in taken or str(path) in beside:
            continue
        if not name.lower().endswith(IMAGES):
            reason = "no images by their names"
        elif not path.is_file():
            reason = "links that lead nowhere" if path.is_symlink() else "pipes or devices"
        elif not is_image(path):
            reason = "masks or results by their names"
        else:
            reason = "of another contrast, or not chosen by --pattern"
        reasons.setdefault(reason, []).append(name)
    return [
        f"{folder}: {len(names)} {'file' if len(names) == 1 else 'files'} passed over, {reason}: {listed(names)}."
        for reason, names in reasons.items()
    ]


def dicom_folders(folder: Path) -> list[str]:
    """The folder itself, or each folder in it where these hold different studies."""
    studies: dict[str, str] = {}
    for path in files_below(folder):
        top, *rest = path.split("/")
        if top in studies or (piece := read_slice(folder / path)) is None:
            continue
        if not rest:
            return [str(folder)]
        studies[top] = str(piece.header.get("StudyInstanceUID", ""))
    return [str(folder / top) for top in sorted(studies)] if len(set(studies.values())) > 1 else [str(folder)]
