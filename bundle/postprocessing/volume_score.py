# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The score of a volume, by which its lesions are marked; no part of the published method."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform, MedianSmooth
from monai.utils import convert_to_dst_type
from scipy import ndimage


def smoothed_across_slices(score: np.ndarray, slice_distance: float, sigma: float) -> np.ndarray:
    """The score by intensity by which lesions are marked.

    A median would wipe out the smallest ones. Smoothing across slices leaves them, and where slices are thin it takes
    away what shows in one slice alone.

    Args:
        score: lesion score of a volume as the slices gave it, slices along the last axis.
        slice_distance: from one slice to the next, in millimetres.
        sigma: of the Gaussian across slices, in millimetres.
    """
    return ndimage.gaussian_filter1d(score, sigma / slice_distance, axis=-1)


def volume_score(
    slice_score: np.ndarray, score: str, slice_distance: float, slice_sigma: float, median_radius: int
) -> np.ndarray:
    """The score by which the lesions of a volume are marked.

    Args:
        slice_score: as the slices gave it, see :py:func:`bundle.model.lesion_score.lesion_score`; slices along the
            last axis.
        score: what it is made of: by "intensity" it is smoothed by :py:func:`smoothed_across_slices`, by "probability"
            by a median.
        slice_distance: from one slice to the next, in millimetres.
        slice_sigma: of the Gaussian, in millimetres.
        median_radius: voxels around each whose median it becomes.

    Returns:
        np.ndarray: the shape of ``slice_score``.
    """
    if score == "intensity":
        return smoothed_across_slices(slice_score, slice_distance, slice_sigma)
    return np.asarray(MedianSmooth(median_radius)(slice_score[None])[0])


class VolumeScored(MapTransform):
    """Replace the score of slices by that of their volume, see :py:func:`volume_score`.

    Args:
        keys: of the score, 1 x H x W x D.
        score: see :py:func:`volume_score`, as the others.
        slice_sigma: of the Gaussian.
        median_radius: of the median.
        image_key: of the preprocessed image, which knows how far its slices lie apart.
    """

    def __init__(
        self, keys: KeysCollection, score: str, slice_sigma: float, median_radius: int, image_key: str = "image"
    ) -> None:
        super().__init__(keys)
        self.score = score
        self.slice_sigma = slice_sigma
        self.median_radius = median_radius
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        distance = float(affine_to_spacing(d[self.image_key].affine)[2])
        for key in self.key_iterator(d):
            by_slice = torch.as_tensor(d[key])[0].cpu().numpy()
            whole = volume_score(by_slice, self.score, distance, self.slice_sigma, self.median_radius)
            d[key] = convert_to_dst_type(whole[None], d[key])[0]
        return d
