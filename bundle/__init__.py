# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""IterMask2: brain lesions found in MRI by a model that no expert's lesion mask has taught."""

from __future__ import annotations

from typing import Any

__version__ = "0.5.0"


def segment(scan: Any, affine: Any = None, brain_mask: Any = None, **settings: Any) -> Any:
    """Find lesions in one scan; see :py:func:`bundle.cli.notebook.segment`, which is imported when this is called."""
    from bundle.cli.notebook import segment as segment_scan

    return segment_scan(scan, affine, brain_mask, **settings)
