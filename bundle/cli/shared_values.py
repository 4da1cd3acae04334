# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Plain values that stand in one config and are used by another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundle.cli.options import converted
from bundle.cli.types import Listing, Number
from bundle.errors import InputError


def values_of(config: str, key: str, **changes: Any) -> dict[str, Any]:
    """The values that a config has at a key, so that another config need not repeat them.

    MONAI's own way to say so, ``%file.json::key``, looks for the file in the working folder; this is found from any.

    Args:
        config: path of the config (JSON).
        key: of it, with a dictionary of plain values.
        **changes: numbers, or lists of numbers, that are other than in that config.

    Raises:
        InputError: when a change is of a value that is not there, or of another kind.
    """
    values = json.loads(Path(config).read_text())[key]
    for name, change in changes.items():
        if name not in values:
            raise InputError(f"--{key}#{name}: there is no such value; there are {', '.join(values)}.")
        old = values[name]
        kind = Listing(Number(), len(old)) if isinstance(old, list) else Number()
        values[name] = converted(f"{key}#{name}", change, kind)
    return values
