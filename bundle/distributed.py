# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Python objects of all processes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite import distributed as idist

from bundle.errors import InputError


def gather(items: Sequence[Any]) -> list[Any]:
    """All processes' items, in the order of the processes; the items themselves where there is one process.

    Raises:
        InputError: when another process has ended before.
    """
    try:
        parts: Any = idist.all_gather(list(items))
    except RuntimeError as error:
        raise InputError(
            "Another process of this run has ended early, its log says why; what is finished is kept, and the same "
            "command does the rest."
        ) from error
    return [item for part in parts for item in part]
