# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a reader of scans looks at."""

from bundle.report.html import RunReport

__all__ = ["RunReport"]
