# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a reviewer drew, in the order in which it was drawn, and the prompts that it means."""

from __future__ import annotations

from typing import Any

from bundle.errors import InputError
from bundle.interaction import Prompts

LESION, NORMAL = "lesion", "normal"
_FIELDS = {
    (LESION, "point"): "foreground",
    (NORMAL, "point"): "background",
    (LESION, "scribble"): "foreground_scribbles",
    (NORMAL, "scribble"): "background_scribbles",
}


def prompts_of(strokes: Any) -> Prompts:
    """The prompts of strokes; where two of them contradict each other in a voxel, the later one holds.

    Args:
        strokes: a list of ``{"kind": "lesion" or "normal", "shape": "point" or "scribble", "voxels": [[i, j, k]]}``,
            the voxels being those of the scan as it is stored.

    Raises:
        InputError: when it is something else.
    """
    if not isinstance(strokes, list):
        raise InputError("strokes: it is not a list; send the list of what was drawn.")
    given: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
    taken: set[tuple[Any, ...]] = set()
    for stroke in reversed(strokes):
        try:
            field = _FIELDS[stroke["kind"], stroke["shape"]]
            voxels = [tuple(voxel) for voxel in stroke["voxels"]]
            free = [voxel for voxel in voxels if voxel not in taken]
            taken.update(voxels)
        except (KeyError, TypeError, IndexError) as error:
            raise InputError(
                "strokes: each has a kind (lesion, normal), a shape (point, scribble) and voxels; one has not."
            ) from error
        given[field] += [free] if field.endswith("scribbles") else free
    return Prompts(**given)
