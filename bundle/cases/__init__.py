# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The results of one scan, on disk."""

from bundle.cases.case import SaveCased, Volumes, read_case

__all__ = ["SaveCased", "Volumes", "read_case"]
