# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The configs of this bundle, found and read without MONAI, so that help pages need not wait for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.files import check_readable

# of the checkout, or of the installed package
ROOT = Path(__file__).resolve().parents[2]


def config_path(name: str) -> Path:
    """The file of a config.

    Args:
        name: of a config of the bundle ("inference"), or a path.

    Raises:
        InputError: when there is none.
    """
    own = ROOT / "configs" / f"{name}.json"
    if own.is_file():
        return own
    if not Path(name).is_file():
        names = sorted(path.stem for path in own.parent.glob("published*.json"))
        raise InputError(f"--config {name}: no such file; give a config (JSON), or one of {', '.join(names)}.")
    check_readable(name)
    return Path(name)


def top_level(names: Sequence[str]) -> dict[str, Any]:
    """The keys of configs of this bundle laid over each other, as far as they are plain values."""
    keys: dict[str, Any] = {}
    for name in names:
        keys |= json.loads(config_path(name).read_text())
    return keys
