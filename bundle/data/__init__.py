# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scans on disk: what there is, and how it is read."""

from bundle.data.datalists import read_datalist, training_data
from bundle.data.datasets import SliceDataset
from bundle.data.loading import LoadVolumed
from bundle.data.scans import inference_data
from bundle.data.volumes import read_on_grid, read_volume

__all__ = [
    "LoadVolumed",
    "SliceDataset",
    "inference_data",
    "read_datalist",
    "read_on_grid",
    "read_volume",
    "training_data",
]
