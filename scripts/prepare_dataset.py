# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Make the datalist of a downloaded data set: the subcommand ``itermask2 prepare`` under its earlier name."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["prepare", *sys.argv[1:]]))
