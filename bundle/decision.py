# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the lesion score to the lesion mask of a volume; no part of the published method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform, generate_spatial_bounding_box
from monai.utils import convert_to_dst_type
from scipy import ndimage

from bundle.errors import InputError
from bundle.scoring import lesion_intensity
from bundle.transforms import BACKGROUND


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


def edge_step(mask: np.ndarray, intensity: np.ndarray, brain: np.ndarray) -> float:
    """How much brighter the outermost pixels of a mask are than the pixels of the brain around it, slice by slice.

    Args:
        mask: bool, within the brain, slices along the last axis.
        intensity: the shape of ``mask``; lesions are higher.
        brain: bool, the shape of ``mask``.

    Returns:
        float: difference of the means; minus infinity where the mask has no surround.
    """
    around = np.ones((3, 3, 1))
    surround = ndimage.binary_dilation(mask, around) & brain & ~mask
    if not surround.any():
        return -math.inf
    return float(intensity[mask & ~ndimage.binary_erosion(mask, around)].mean() - intensity[surround].mean())


def sharpest_threshold(
    score: np.ndarray,
    intensity: np.ndarray,
    brain: np.ndarray,
    lowest: float,
    smallest_share: float = 0.1,
    size_exponent: float = 0.2,
    ratio: float = 1.16,
    fewest: int = 10,
) -> float:
    """The threshold at which the outline of the lesions of a volume follows the sharpest edges of its image.

    Scanners and lesions differ in contrast, and so does the best threshold; this one needs no label. Never below
    ``lowest``, so that no more of a healthy brain is marked than that one allows.

    Args:
        score: lesion score of a volume, slices along the last axis.
        intensity: the shape of ``score``, see :py:func:`bundle.scoring.lesion_intensity`.
        brain: bool, the shape of ``score``.
        lowest: positive threshold that marks what is to be considered at all.
        smallest_share: of the cleaning, see :py:func:`cleaned`.
        size_exponent: an edge counts as its step times the size of the mask to this power: of two outlines that are
            as sharp, the larger one is taken.
        ratio: between one threshold that is tried and the next.
        fewest: pixels of a mask that is tried.

    Returns:
        float: ``lowest`` where nothing can be compared.
    """
    if score.max() <= lowest:
        return lowest
    starts, ends = generate_spatial_bounding_box(score[None], lambda x: x > lowest, margin=1, allow_smaller=True)
    # no threshold marks anything outside of this box
    box = tuple(slice(start, end) for start, end in zip(starts, ends))
    score, intensity, brain = score[box], intensity[box], brain[box]
    number = int(math.log(float(score.max()) / lowest) / math.log(ratio)) + 1
    thresholds = lowest * ratio ** np.arange(number)
    sharpness = np.full(number, -math.inf)
    for i, threshold in enumerate(thresholds):
        mask = cleaned(score > threshold, smallest_share) & brain
        if (size := int(mask.sum())) < fewest:
            break
        sharpness[i] = edge_step(mask, intensity, brain) * size**size_exponent
    if not np.isfinite(sharpness).any():
        return lowest
    # neighbours count too: an outline that holds over several thresholds is no accident of one
    smooth = np.convolve(np.pad(sharpness, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    return float(thresholds[int(smooth.argmax())])


def smoothed_across_slices(score: np.ndarray, slice_distance: float, sigma: float = 1.0) -> np.ndarray:
    """The score by which small lesions are marked.

    A median would wipe out the smallest ones. Smoothing across slices leaves them, and where slices are thin it takes
    away what shows in one slice alone.

    Args:
        score: lesion score of a volume as the slices gave it, slices along the last axis.
        slice_distance: from one slice to the next, in millimetres.
        sigma: of the Gaussian across slices, in millimetres.
    """
    return ndimage.gaussian_filter1d(score, sigma / slice_distance, axis=-1)


def separate_lesions(
    score: np.ndarray,
    lowest: float,
    peak_ratio: float = 18.0,
    cut: float = 0.4,
) -> np.ndarray:
    """Small lesions one by one: each has its own threshold, and none is too small beside another.

    Args:
        score: lesion score of a volume, slices along the last axis, see :py:func:`smoothed_across_slices`.
        lowest: positive threshold that marks what is to be considered at all.
        peak_ratio: a lesion's highest score is at least so many times ``lowest``.
        cut: share of its highest score above which a pixel is part of a lesion.

    Returns:
        np.ndarray: bool, the shape of ``score``.
    """
    components, number = ndimage.label(score > lowest, np.ones((3, 3, 3)))
    # of what is in no component the peak is infinite, and nothing reaches it
    peaks = np.array([math.inf, *ndimage.maximum(score, components, range(1, number + 1))])
    peaks[peaks < peak_ratio * lowest] = math.inf
    return with_holes_filled(score >= cut * peaks[components])


class MarkLesionsd(MapTransform):
    """Replace the mask that the refinement left by what scores as a lesion.

    Args:
        keys: of the mask, 1 x H x W x D.
        contrast: in which direction lesions differ, see :py:func:`bundle.refinement.reconstruction_error`.
        score_key: of the lesion score, see :py:mod:`bundle.scoring`, smoothed by a median. Where lesions are marked
            one by one it gives way to the score by which they are.
        slice_score_key: of the same as the slices gave it.
        image_key: of the preprocessed image.
        smallest_share: see :py:func:`without_small` and :py:func:`cleaned`.
        small_lesion: where the largest lesion is smaller than so many millilitres, all are marked one by one, see
            :py:func:`separate_lesions`; 0 to mark none so.

    The threshold is that of :py:func:`sharpest_threshold`, above the ``lesion_threshold`` in ``refinement``, which
    gains it as ``volume_threshold``; or where lesions are small ``separate_lesions``, true.

    Raises:
        InputError: when ``lesion_threshold`` is not calibrated.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrast: str,
        score_key: str = "score",
        slice_score_key: str = "slice_score",
        image_key: str = "image",
        smallest_share: float = 0.1,
        small_lesion: float = 5.0,
    ) -> None:
        super().__init__(keys)
        self.contrast = contrast
        self.score_key = score_key
        self.slice_score_key = slice_score_key
        self.image_key = image_key
        self.smallest_share = smallest_share
        self.small_lesion = small_lesion

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        lowest = d["refinement"]["lesion_threshold"]
        if math.isnan(lowest):
            raise InputError(
                "The judge of this model has no threshold: calibrate it with configs/calibrate_judge.json, "
                "then give the checkpoint that this writes as --ckpt_path."
            )
        score, slice_score = (
            torch.as_tensor(d[key])[0].cpu().numpy() for key in (self.score_key, self.slice_score_key)
        )
        image = torch.as_tensor(d[self.image_key]).movedim(-1, 0)
        brain = image > BACKGROUND
        intensity = lesion_intensity(image, brain, self.contrast)
        intensity, brain = (volume[:, 0].movedim(0, -1).cpu().numpy() for volume in (intensity, brain))
        threshold = sharpest_threshold(score, intensity, brain, lowest, self.smallest_share)
        mask = cleaned(score > threshold, self.smallest_share)
        decided: dict[str, Any] = {"volume_threshold": threshold}
        spacing = affine_to_spacing(d[self.image_key].affine)
        if without_small(mask, share=1.0).sum() * float(spacing.prod()) / 1000 < self.small_lesion:
            score = smoothed_across_slices(slice_score, float(spacing[2]))
            mask = separate_lesions(score, lowest)
            decided = {"separate_lesions": True}
            # what is delivered is the score that made the mask
            d[self.score_key] = convert_to_dst_type(score[None], d[self.score_key])[0]
        # holes in the brain mask are filled like others
        mask &= brain
        d["refinement"] = {**d["refinement"], **decided}
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
