# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A page to review results in: look, point at what is lesion or normal, decide. Everything is kept as versions."""

from bundle.review.launcher import start

__all__ = ["start"]
