# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How fast the refinement and a whole scan are on this computer, and whether what is fast gives the same masks."""

from bundle.benchmark.benchmark import Benchmark
from bundle.benchmark.plain_loop import plain_loop
from bundle.benchmark.training import TrainingSpeed
from bundle.benchmark.volume import volume_of

__all__ = ["Benchmark", "TrainingSpeed", "plain_loop", "volume_of"]
