# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a reader of scans looks at."""

from bundle.report.html import RunReport
from bundle.report.pictures import encoded, figure_png, highest_error, montage, slice_pictures, window_of

__all__ = ["RunReport", "encoded", "figure_png", "highest_error", "montage", "slice_pictures", "window_of"]
