"""Tests run side by side, so that each process has one thread: several would wait for each other."""

import os

# before torch is imported
os.environ["OMP_NUM_THREADS"] = "1"
