# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The random numbers of a program that calls this bundle stay its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def callers_random_numbers() -> Iterator[None]:
    """Give the random numbers of Python, NumPy and torch, and the switches of cuDNN, back as they were.

    Workflows seed them (``monai.utils.set_determinism``); after a call in a loop the same numbers would be drawn again.
    """
    python, numpy, cudnn = random.getstate(), np.random.get_state(), torch.backends.cudnn
    switches = cudnn.deterministic, cudnn.benchmark
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        cudnn.deterministic, cudnn.benchmark = switches
