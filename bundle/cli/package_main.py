# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""``python -m itermask2``; in a wheel this file is ``itermask2/__main__.py``."""

from itermask2 import main

if __name__ == "__main__":
    main()
