# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Make one datalist of several: the subcommand ``itermask2 merge`` under its earlier name."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["merge", *sys.argv[1:]]))
