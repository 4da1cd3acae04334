# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The files below a folder, whatever characters their names have."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path

from bundle.errors import InputError


def files_below(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it and sorted, without hidden files and folders.

    Links are followed, as data sets under version control consist of them; a folder to which several ways lead is
    entered once, by its own name rather than by a link.

    Raises:
        InputError: when a folder cannot be read.
    """
    entered: set[str] = set()
    found: list[str] = []

    def enter(path: str, relative: str) -> None:
        real = os.path.realpath(path)
        if real in entered:
            return
        entered.add(real)
        try:
            with os.scandir(path) as scanned:
                entries = sorted((entry for entry in scanned if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            raise InputError(f"{path}: the folder cannot be read ({error.strerror}); check its permissions.") from error
        folders = [entry for entry in entries if entry.is_dir()]
        found.extend(relative + entry.name for entry in entries if not entry.is_dir())
        for entry in sorted(folders, key=lambda e: (e.is_symlink(), e.name)):
            enter(entry.path, f"{relative}{entry.name}/")

    enter(str(folder), "")
    return sorted(found)


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path fits a pattern of ``*``, ``?``, ``[...]`` and ``**`` (any number of folders).

    The ending of a file may be in upper case.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    expression = ""
    for i, part in enumerate(parts):
        if part == "**":
            expression += "(?:[^/]+/)*" if i < len(parts) - 1 else ".*"
        else:
            inner = fnmatch.translate(part.replace("?", "[!/]")).removeprefix("(?s:").removesuffix(r")\Z")
            expression += inner.replace(".*", "[^/]*") + ("/" if i < len(parts) - 1 else "")
    name = re.sub(r"(\.nii)?(\.gz)?$", lambda ending: ending.group().lower(), path, flags=re.IGNORECASE)
    return any(re.fullmatch(expression, candidate, re.DOTALL) for candidate in (path, name))
