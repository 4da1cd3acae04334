# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What viewers send of clicks and scribbles, as prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from bundle.errors import InputError
from bundle.interaction import Prompts
from bundle.label.labels import read_label

# what viewers call scribbles in ``label_info``, and the values that they have in a label without it
_SCRIBBLES = {"foreground_scribbles": 3, "background_scribbles": 2}


def prompts_of_points(request: Mapping[str, Any]) -> Prompts:
    """The prompts of ``foreground`` and ``background``: voxels of the scan as it is stored.

    Raises:
        InputError: when they are something else.
    """
    return Prompts.from_json({name: request.get(name) or [] for name in ("foreground", "background")})


def prompts_of_scribbles(request: Mapping[str, Any], image: Path) -> Prompts:
    """The prompts of a label with scribbles in it; what else is in it, the mask that is shown, is not looked at.

    Args:
        request: with ``label``, the file that was sent, and ``label_info``, which tells the values of the scribbles.
        image: that it was drawn on.

    Raises:
        InputError: when no label was sent, or it does not fit the image.
    """
    sent = Path(str(request.get("label") or ""))
    # a name that a client gives is no file that it sent
    if not sent.is_absolute() or not sent.is_file():
        raise InputError("label: no label with scribbles was sent; send one as a file.")
    try:
        values = read_label(sent, image)
    except InputError as error:
        raise InputError(str(error).replace(str(sent), "label")) from error
    numbers = dict(_SCRIBBLES)
    for entry in request.get("label_info") or []:
        if isinstance(entry, Mapping) and entry.get("name") in numbers and isinstance(entry.get("id"), int):
            numbers[entry["name"]] = entry["id"]
    return Prompts(**{name: _parts(values == number) for name, number in numbers.items()})


def _parts(drawn: np.ndarray) -> list[list[list[int]]]:
    """The voxels of each scribble: what hangs together, be it by corners."""
    numbered, number = ndimage.label(drawn, np.ones((3, 3, 3)))
    return [np.argwhere(numbered == part).tolist() for part in range(1, number + 1)]
