# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Simulate a cohort of healthy people and patients as NIfTI files with a datalist; see bundle/phantom.py."""

import sys
from pathlib import Path

import fire

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bundle.phantom import write_cohort  # noqa: E402

if __name__ == "__main__":
    fire.Fire(write_cohort)
