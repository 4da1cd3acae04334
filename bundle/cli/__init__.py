# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The command ``itermask2``, and the options of all runs."""

from bundle.cli.check import check_options
from bundle.cli.shared_values import values_of

__all__ = ["check_options", "values_of"]
