# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Simulate a cohort of healthy people and patients: ``python -m scripts.make_phantom FOLDER``, ``--help`` for more."""

import fire

from bundle.phantom.cohort import write_cohort

if __name__ == "__main__":
    fire.Fire(write_cohort)
