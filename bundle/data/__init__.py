# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scans on disk: what there is, and how it is read."""

from bundle.data.datalists import absolute_paths, read_datalist, training_data
from bundle.data.datasets import SliceDataset
from bundle.data.loading import LoadVolumed
from bundle.data.prepare import prepare_dataset
from bundle.data.scans import inference_data, scans_at
from bundle.data.volumes import on_grid_of, oriented_array, oriented_brain, read_on_grid, read_oriented, read_volume

__all__ = [
    "LoadVolumed",
    "SliceDataset",
    "absolute_paths",
    "inference_data",
    "on_grid_of",
    "oriented_array",
    "oriented_brain",
    "prepare_dataset",
    "read_datalist",
    "read_on_grid",
    "read_oriented",
    "read_volume",
    "scans_at",
    "training_data",
]
