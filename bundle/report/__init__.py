# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a reader of scans looks at."""

from bundle.report.html import RunReport
from bundle.report.pictures import encoded, figure_png, montage, slice_pictures
from bundle.report.shown import read_shown

__all__ = ["RunReport", "encoded", "figure_png", "montage", "read_shown", "slice_pictures"]
