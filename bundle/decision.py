# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the lesion score to the lesion mask of a volume; no part of the published method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from scipy import ndimage

from bundle.errors import InputError


def without_small(mask: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Drop the components (26-connected) that are smaller than ``share`` of the largest one.

    A share and no size, so that where all lesions are small all of them stay.

    Args:
        mask: bool, three axes.
        share: 0 to 1.

    Returns:
        np.ndarray: bool, the shape of ``mask``.
    """
    labels, number = ndimage.label(mask, np.ones((3, 3, 3)))
    if number == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= share * sizes.max())[labels] & mask


def with_holes_filled(mask: np.ndarray) -> np.ndarray:
    """Mark what a lesion encloses in an axial slice, such as a dark cyst in a bright tumour.

    Args:
        mask: bool, slices along the last axis.
    """
    return np.stack([ndimage.binary_fill_holes(one) for one in np.moveaxis(mask, -1, 0)], axis=-1)


def cleaned(mask: np.ndarray, smallest_share: float = 0.1) -> np.ndarray:
    """A mask as it is delivered: holes filled, then small components dropped."""
    return without_small(with_holes_filled(mask), smallest_share)


class MarkLesionsd(MapTransform):
    """Replace the mask that the refinement left by what scores as a lesion.

    Args:
        keys: of the mask, 1 x H x W x D.
        score_key: of the lesion score, see :py:mod:`bundle.scoring`.
        smallest_share: see :py:func:`without_small` and :py:func:`cleaned`.

    The threshold is the ``lesion_threshold`` in ``refinement``.

    Raises:
        InputError: when that threshold is not calibrated.
    """

    def __init__(self, keys: KeysCollection, score_key: str = "score", smallest_share: float = 0.1) -> None:
        super().__init__(keys)
        self.score_key = score_key
        self.smallest_share = smallest_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        threshold = d["refinement"]["lesion_threshold"]
        if math.isnan(threshold):
            raise InputError(
                "The judge of this model has no threshold: calibrate it with configs/calibrate_judge.json, "
                "then give the checkpoint that this writes as --ckpt_path."
            )
        score = torch.as_tensor(d[self.score_key])[0].cpu().numpy()
        mask = cleaned(score > threshold, self.smallest_share)
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
