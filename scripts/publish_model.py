# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Write a calibrated model as weights ship: the subcommand ``itermask2 publish`` under its earlier name."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["publish", *sys.argv[1:]]))
