# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Python objects of all processes of a run, which the collective functions for tensors do not cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import distributed


def gather(items: Sequence[Any]) -> list[Any]:
    """All processes' items, in the order of the processes; the items themselves where there is one process."""
    if not distributed.is_initialized():
        return list(items)
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]
