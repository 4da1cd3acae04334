# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Convert checkpoints of the authors' program: the subcommand ``itermask2 convert`` under its earlier name."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
