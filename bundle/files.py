# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Writing files so that nobody ever sees half of one, and finding out early that none can be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bundle.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(unfinished, path)


def writable_folder(path: str | Path) -> Path:
    """Make a folder, unless it exists, and make sure that files can be written in it.

    Raises:
        InputError: when that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: files cannot be written there ({error.strerror}); choose another --output_dir."
        ) from error
    return folder
