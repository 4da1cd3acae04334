# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Simulated people, for tests and demonstrations.

Their numbers stand in the code and not in a config: a seed means one person, everywhere and in every version.
"""

from bundle.phantom.cohort import write_cohort

__all__ = ["write_cohort"]
