# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the cases of a run are called: safe as the name of a folder, and unique in the run."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import count

# endings of what is taken for an image in a folder
IMAGES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr")

# of these the ones whose voxels may lie in another file
HEADERS = (".mhd", ".nhdr", ".hdr")

# and of the other file of a pair, which is given alone
HALVES = (".img.gz", ".img")

# with what results add, a name stays below the 255 bytes that disks take
LONGEST_NAME = 150


def stem_of(path: str | os.PathLike) -> str:
    """Name of an image without its ending, in upper or lower case."""
    name = os.path.basename(os.path.abspath(path))
    ending = next((ending for ending in (*IMAGES, *HALVES) if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def safe_name(name: str) -> str:
    """A name that every disk takes, and that is valid UTF-8; with a hash where something had to be left out."""
    safe = name.encode("utf-8", "replace").decode()
    safe = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", safe).strip(" ").lstrip(".")
    # report.html and tables lie beside the folders of the cases
    safe = re.sub(r"\.(html|csv|json|log|lock)$", r"_\1", safe, flags=re.IGNORECASE)
    if len(safe.encode()) > LONGEST_NAME:
        safe = safe.encode()[: LONGEST_NAME - 9].decode("utf-8", "ignore")
        return f"{safe}_{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    lost = name.encode("utf-8", "replace") != name.encode("utf-8", "surrogateescape")
    return f"{safe}_{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}" if lost or not safe else safe


def _key(name: str) -> str:
    """Names with the same key are one folder on some disks."""
    return unicodedata.normalize("NFC", name).casefold()


def case_names(paths: Sequence[str], stems: Sequence[str] | None = None) -> list[str]:
    """A name for each path: those that share one get as many folders before it as tell them apart.

    Args:
        paths: of the images; one that is listed twice gets a number.
        stems: their names; by default those of the files without their endings.

    Returns:
        list: of names, none of which equals another, in upper or lower case.
    """
    # by the way that is written, not the one that links lead
    paths = [os.path.abspath(path) for path in paths]
    parts = {
        path: [*path.split(os.sep)[1:-1], stem] for path, stem in zip(paths, stems or [stem_of(path) for path in paths])
    }
    twins = Counter(_key("/".join(part)) for part in parts.values())
    for path, part in parts.items():
        # one stem with two endings in one folder
        if twins[_key("/".join(part))] > 1:
            part[-1] = os.path.basename(path).replace(".", "_")
    sharing: dict[str, list[str]] = {}
    for path, part in parts.items():
        sharing.setdefault(_key(part[-1]), []).append(path)
    names: dict[str, str] = {}
    for group in sharing.values():
        for depth in range(1, max(len(parts[path]) for path in group) + 1):
            named = {path: "_".join(parts[path][-depth:]) for path in group}
            if len(set(map(_key, named.values()))) == len(group):
                break
        else:
            # no folder tells them apart: numbers will
            named = {path: parts[path][-1] for path in group}
        names |= named
    names = {path: safe_name(name) for path, name in names.items()}
    given: set[str] = set()
    result = []
    for path in paths:
        name = names[path]
        if _key(name) in given:
            taken = given | set(map(_key, names.values()))
            name = next(other for number in count(2) if _key(other := f"{name}_{number}") not in taken)
        given.add(_key(name))
        result.append(name)
    return result
