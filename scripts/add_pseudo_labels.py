# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Let a judge learn from earlier masks: the subcommand ``itermask2 pseudo-labels`` under its earlier name."""

import sys

from bundle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pseudo-labels", *sys.argv[1:]]))
