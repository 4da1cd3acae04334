# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""``python -m bundle.cli`` in a checkout is what ``itermask2`` is where it is installed."""

from bundle.cli.main import main
from bundle.cli.quick import leave

if __name__ == "__main__":
    leave(main())
