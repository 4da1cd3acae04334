# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The results of one scan, on disk."""

from bundle.cases.case import CaseFolder, finished_cases
from bundle.cases.save import SaveCased

__all__ = ["CaseFolder", "SaveCased", "finished_cases"]
