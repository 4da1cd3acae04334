# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""IterMask2, as it is installed: brain lesions in MRI, found by a model that no expert's lesion mask has taught.

In a wheel this file is ``itermask2/__init__.py``. The folder around it is a MONAI bundle, whose root has to be on
Python's path so that its configs find the modules that they name.
"""

import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bundle import __version__, segment  # noqa: E402

__all__ = ["__version__", "main", "segment"]


def main() -> NoReturn:
    """The command ``itermask2``; the process ends with it."""
    from bundle.cli.main import main as command
    from bundle.cli.quick import leave

    leave(command())
