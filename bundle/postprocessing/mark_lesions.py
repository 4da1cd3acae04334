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

from bundle.errors import InputError
from bundle.model.lesion_score import lesion_intensity
from bundle.postprocessing.agreement import agreement
from bundle.postprocessing.cleaning import cleaned, with_high_peak, with_holes_filled, without_haze, without_small
from bundle.postprocessing.statistics import millilitres_per_voxel
from bundle.postprocessing.volume_threshold import (
    mean_threshold,
    nearness,
    share_of_what_is_above,
    threshold_range,
    threshold_weights,
)
from bundle.preprocessing.intensities import BACKGROUND

# where the threshold is uncertain: what is marked at the lowest that may be right (1), at the highest (2), at both (3)
POSSIBLE = "possible_lesions"

# of the numbers of the search, those that are not for how sharp edges are
OF_THIS_STEP = ("share", "spread", "tail", "uncertain")


def uncertain_ml(low: np.ndarray, high: np.ndarray, uncertain: float, millilitres: float) -> list[float]:
    """Sizes of the masks of two thresholds, the smaller one first, where they differ much.

    Args:
        low: bool, at the lower threshold.
        high: the same at the higher one.
        uncertain: Dice of the two with one another below which they differ much.
        millilitres: of a voxel.

    Returns:
        list: empty where they agree, or both are empty.
    """
    if agreement(low, high) >= uncertain:
        return []
    return sorted(round(int(mask.sum()) * millilitres, 1) for mask in (low, high))


class MarkLesionsd(MapTransform):
    """Replace the mask that the refinement left by what scores as a lesion.

    Args:
        keys: of the mask, 1 x H x W x D.
        contrast: in which direction lesions differ, see :py:func:`bundle.model.contrast.reconstruction_error`.
        score: what it is made of, see :py:func:`bundle.model.lesion_score.lesion_score`.
        score_sigma: of the score's intensity, see :py:func:`bundle.model.lesion_score.robust_intensity`.
        smallest_share: see :py:func:`bundle.postprocessing.cleaning.without_small`.
        share_ml: millilitres of the largest component from which that share is asked; below it less is.
        search: of the threshold: ``size_exponent``, ``ratio``, ``fewest`` and ``softness``, see
            :py:func:`bundle.postprocessing.volume_threshold.threshold_weights`; ``share``, ``spread``, ``tail`` and
            ``uncertain``, see below.
        lowest_peak: see :py:func:`bundle.postprocessing.cleaning.with_high_peak`.
        lowest_mean: see :py:func:`bundle.postprocessing.cleaning.without_haze`.
        sure_peak: of what is haze by that rule, what scores above ``lowest_mean`` stays where its peak is this high.
        peak_ml: millilitres of a component up to which both are asked for; of larger ones less is.
        smallest_brain: slices with a smaller brain than this share of the volume's largest have no peaks: no training
            saw such slices, so a component that lies in them alone is dropped.
        score_key: of the lesion score of the volume, see :py:func:`bundle.postprocessing.volume_score.volume_score`.
        image_key: of the preprocessed image.

    Of a score by intensity the threshold is no lower than the ``lesion_threshold`` in ``refinement``: the geometric
    mean of thresholds, which have a weight by how sharp the edges of their masks are
    (:py:func:`bundle.postprocessing.volume_threshold.threshold_weights`), and another by how near they are to ``share``
    times the mean score above them (:py:func:`bundle.postprocessing.volume_threshold.share_of_what_is_above`; a
    Gaussian of their logarithm, of ``spread``). Either alone errs elsewhere: edges are sharp around haze too, and a
    share of the mean is too high for faint lesions.

    ``refinement`` gains the threshold as ``volume_threshold``, and as ``threshold_range`` the two thresholds beyond
    which lies a share ``tail`` of the weights on either side. Where the masks at these two have a Dice below
    ``uncertain`` with one another, it gains their sizes as ``uncertain_ml``, and the data gain both as ``POSSIBLE``. Of
    a score by probability the threshold is ``lesion_threshold`` itself.

    Raises:
        InputError: when ``lesion_threshold`` is not calibrated; or at once when ``share`` or ``spread`` make no sense.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrast: str,
        score: str,
        score_sigma: float,
        smallest_share: float,
        share_ml: float,
        search: Mapping[str, Any],
        lowest_peak: float,
        lowest_mean: float,
        sure_peak: float,
        peak_ml: float,
        smallest_brain: float,
        score_key: str = "score",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.contrast = contrast
        self.score = score
        self.score_sigma = score_sigma
        self.smallest_share = smallest_share
        self.share_ml = share_ml
        self.search = {name: value for name, value in search.items() if name not in OF_THIS_STEP}
        self.share = float(search["share"])
        self.spread = float(search["spread"])
        if not (0 < self.share < 1 and self.spread > 0):
            raise InputError(
                f"threshold_search has share {self.share:g} and spread {self.spread:g}; "
                "give a share between 0 and 1 and a positive spread."
            )
        self.tail = float(search["tail"])
        self.uncertain = float(search["uncertain"])
        self.lowest_peak = lowest_peak
        self.lowest_mean = lowest_mean
        self.sure_peak = sure_peak
        self.peak_ml = peak_ml
        self.smallest_brain = smallest_brain
        self.score_key = score_key
        self.image_key = image_key

    def _marked(self, score: np.ndarray, threshold: float, brain: np.ndarray, millilitres: float) -> np.ndarray:
        """The mask by a score by intensity, at a threshold; a voxel has so many millilitres."""
        whole = with_holes_filled(score > threshold)
        area = brain.sum(axis=(0, 1))
        peaks = np.where(area >= self.smallest_brain * area.max(), score, 0.0)
        mask = with_high_peak(whole, peaks, self.lowest_peak, self.peak_ml / millilitres)
        clear = without_haze(mask, score, self.lowest_mean, self.peak_ml / millilitres)
        # a lesion in haze
        cores = mask & ~clear & (score > self.lowest_mean)
        mask = clear | with_high_peak(cores, peaks, self.sure_peak, math.inf)
        # holes in the brain mask are filled like others
        return without_small(mask, self.smallest_share, self.share_ml / millilitres) & brain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        lowest = d["refinement"]["lesion_threshold"]
        if math.isnan(lowest):
            raise InputError(
                "The judge of this model has no threshold: set it with itermask2 calibrate, then give the checkpoint "
                "that this writes as --ckpt_path."
            )
        threshold = lowest
        score = torch.as_tensor(d[self.score_key])[0].cpu().numpy()
        if self.score == "intensity":
            image = torch.as_tensor(d[self.image_key]).movedim(-1, 0)
            in_brain = image > BACKGROUND
            by_slice = lesion_intensity(image, in_brain, self.contrast, self.score_sigma)
            intensity, brain = (volume[:, 0].movedim(0, -1).cpu().numpy() for volume in (by_slice, in_brain))
            weights = threshold_weights(score, intensity, brain, lowest, self.smallest_share, **self.search)
            middle = share_of_what_is_above(score, brain, lowest, self.share)
            weights = weights * nearness(len(weights), lowest, self.search["ratio"], middle, self.spread)
            threshold = mean_threshold(weights, lowest, self.search["ratio"])
            millilitres = millilitres_per_voxel(d[self.image_key].affine)
            mask = self._marked(score, threshold, brain, millilitres)
            between = threshold_range(weights, lowest, self.search["ratio"], self.tail)
            low, high = (self._marked(score, end, brain, millilitres) for end in between)
            found = {"threshold_range": list(between)}
            if sizes := uncertain_ml(low, high, self.uncertain, millilitres):
                found["uncertain_ml"] = sizes
                # as whole numbers that can be stored
                possible = low * np.uint8(1) + high * np.uint8(2)
                d[POSSIBLE] = convert_to_dst_type(possible[None], d[self.image_key], dtype=torch.float32)[0]
            d["refinement"] = {**d["refinement"], **found}
        else:
            brain = (torch.as_tensor(d[self.image_key])[0] > BACKGROUND).cpu().numpy()
            mask = cleaned(score > threshold, self.smallest_share) & brain
        d["refinement"] = {**d["refinement"], "volume_threshold": threshold}
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
