# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Review of results in MONAI Label: its server, started so that it serves a review and nothing else.

MONAI Label 0.8.5 lets any web page delete and overwrite what it serves, and follows paths out of its folder.
Its own code is left as it is. Before it stands a gate (:py:mod:`bundle.label.gate`), which lets through what a review
needs, and behind it are copies of the scans (:py:mod:`bundle.label.studies`) and of the bundle
(:py:mod:`bundle.label.served_bundle`), never the originals.
"""

from bundle.label.launcher import start

__all__ = ["start"]
