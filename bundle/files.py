# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Files and folders: never half of a file, one user of a folder at a time, and early word that none can be written."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


def absolute(path: str | Path) -> str:
    """A path from the root, its links and dots as they are.

    For whatever is read or written beside other work: ITK changes the working folder of the process for the moment in
    which it loads one of its modules.
    """
    return str(Path(path).absolute())


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Where to write a file, which then takes the place of another one at once; nothing is left when writing fails.

    The folder is made. The other name is hidden and has the same ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; letters that are no Unicode are written as escapes."""
    with replaced(path) as unfinished:
        unfinished.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def _without_nan(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _without_nan(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_without_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_json(path: Path, values: Any) -> None:
    """:py:func:`write_whole` for plain values; numbers that are not finite, which JSON does not know, become null."""
    write_whole(path, json.dumps(_without_nan(values), indent=4, allow_nan=False) + "\n")


def check_readable(path: str | Path) -> None:
    """Refuse a file or folder that is there and must not be read.

    Raises:
        InputError: naming it.
    """
    if os.path.exists(path) and not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (permission denied); ask for the permission, or give another path.")


def sha256(path: str | Path) -> str:
    """The SHA-256 of what is in a file.

    Raises:
        OSError: when it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_sha256(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of a file, as results and reviews note the weights that made them.

    Raises:
        OSError: when it cannot be read.
    """
    return {"file": Path(path).name, "sha256": sha256(path)}


def plain(values: Any) -> Any:
    """Values as JSON holds them; what it does not know, such as a device, as text."""
    return json.loads(json.dumps(values, default=str))


def sha256_by_name(paths: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of files by name; empty where there is no such file."""
    return {name: sha256(path) if Path(path).exists() else "" for name, path in paths.items()}


def sha256_of(known: Any) -> str:
    """The SHA-256 of plain values, whatever the order of the keys."""
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


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


@contextmanager
def only_user(path: Path, shared: bool = False, named: Path | None = None) -> Iterator[None]:
    """Hold a file or folder as no other process can at the same time; the end of a process gives it back.

    Where the file system or the operating system knows no such locks, it is used without.

    Args:
        path: of what is held.
        shared: let others hold it that share it too.
        named: what the sentence names in its place.

    Raises:
        InputError: when another process holds it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{named or path}: another run is writing there; wait for its end, or choose another folder."
            ) from error
        except OSError as error:
            logger.warning(f"{path}: cannot be kept from other runs ({error.strerror}); start no second one into it.")
        yield
    finally:
        os.close(handle)


@contextmanager
def only_writer(target: str | Path) -> Iterator[None]:
    """Hold a file or folder that is going to be written, by a lock in the folder, or beside it, which goes again.

    Raises:
        InputError: when another process holds it, or no file can be written there.
    """
    target = Path(target).absolute()
    there = next(folder for folder in (target, *target.parents) if folder.is_dir())
    lock = there / f".{target.name}.lock"
    try:
        lock.touch()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); choose another place.") from error
    with only_user(lock, named=target):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
