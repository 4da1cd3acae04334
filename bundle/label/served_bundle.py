# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The bundle that is served: a copy of configs and weights that cannot be written to, made anew at each start."""

from __future__ import annotations

import shutil
from pathlib import Path

import bundle

NAME = "itermask2_segmentation"  # "segmentation" in the name makes MONAI Label serve it as such


def bundle_root() -> Path:
    """The folder with ``bundle``, ``configs`` and ``models``, in a checkout as in an installation."""
    return Path(bundle.__file__).resolve().parents[1]


def _set_writable(folder: Path, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            usual = 0o755 if path.is_dir() else 0o644
            path.chmod(usual if writable else usual & 0o555)


def remove(folder: Path) -> None:
    """Delete a folder that may not be writable, if there is one."""
    if folder.is_dir():
        _set_writable(folder, True)
        shutil.rmtree(folder)


def serve_bundle(app: Path, *, writable: bool = False) -> None:
    """Copy what the server needs of the bundle into MONAI Label's app: its configs, and the weights that ship.

    The server's other models, the published one for instance, are no part of it, so viewers list one model.

    Args:
        app: folder of the app.
        writable: whether the copy may be changed, as training and an upload of weights do.
    """
    root, served = bundle_root(), app / "model" / NAME
    (served / "models").mkdir(parents=True)
    shutil.copytree(root / "configs", served / "configs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(root / "models" / "model.pt", served / "models" / "model.pt")
    _set_writable(served, writable)
