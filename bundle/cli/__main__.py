# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""``python -m bundle.cli`` in a checkout is what ``itermask2`` is where it is installed."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
