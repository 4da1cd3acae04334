# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The mask that by several contrasts together agrees best with the lesions; no part of the published method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, MedianSmooth
from monai.utils import convert_to_dst_type

from bundle.model.lesion_score import lesion_score
from bundle.postprocessing.agreement import agreement
from bundle.postprocessing.cleaning import cleaned
from bundle.postprocessing.mark_lesions import POSSIBLE
from bundle.postprocessing.statistics import millilitres_per_voxel
from bundle.preprocessing.intensities import BACKGROUND


def expected_dice(mask: np.ndarray, probability: np.ndarray) -> float:
    """The Dice that a mask is expected to have, by the probability of a lesion in each voxel.

    Args:
        mask: bool.
        probability: the shape of ``mask``, 0 to 1, 0 outside the brain.

    Returns:
        float: 0 where there is nothing, in both.
    """
    whole = float(probability.sum() + mask.sum())
    return float(2 * probability[mask].sum()) / whole if whole else 0.0


def surest_threshold(
    score: np.ndarray,
    probability: np.ndarray,
    brain: np.ndarray,
    lowest: float,
    smallest_share: float,
    ratio: float,
    fewest: int,
) -> float:
    """The threshold of the score whose mask has the highest expected Dice.

    Args:
        score: lesion score of a volume, slices along the last axis.
        probability: of a lesion, the shape of ``score``, 0 outside the brain.
        brain: bool, the shape of ``score``.
        lowest: positive threshold that marks what is to be considered at all; the first that is tried.
        smallest_share: of the cleaning, see :py:func:`cleaned`.
        ratio: between one threshold that is tried and the next.
        fewest: pixels of a mask that is tried.

    Returns:
        float: ``lowest`` where nothing can be compared.
    """
    best, chosen = -math.inf, lowest
    threshold, highest = lowest, float(score.max())
    while threshold < highest:
        mask = cleaned(score > threshold, smallest_share) & brain
        if int(mask.sum()) < fewest:
            break
        if (dice := expected_dice(mask, probability)) > best:
            best, chosen = dice, threshold
        threshold *= ratio
    return chosen


OF_THE_RANGE = ("threshold_range", "uncertain_ml")


class SurestMaskd(MapTransform):
    """Where there are several contrasts, replace the mask by the one of the highest expected Dice.

    It comes after :py:class:`bundle.postprocessing.mark_lesions.MarkLesionsd`, which marks by the leading contrast
    alone. That mask stays where there is one contrast, where the score is the probability itself, where it is small,
    since the other contrasts hardly know small lesions, and where all together mark the same lesions: outlines are
    clearest in the leading contrast.

    Args:
        keys: of the mask, 1 x H x W x D.
        contrast: see :py:func:`bundle.model.lesion_score.lesion_score`, as ``score``, ``score_sigma`` and
            ``score_limit``: of the score that is made of the probability of all contrasts.
        score: the same.
        score_sigma: the same.
        score_limit: the same.
        median_radius: voxels around each whose median the probability and that score become.
        smallest_share: see :py:func:`cleaned`.
        search: of the threshold, its ``ratio`` and ``fewest``, see :py:func:`surest_threshold`.
        together_ml: up to how many millilitres the leading contrast may mark to decide alone, and from how many on
            all together do. Between them the mask is by the weighted geometric mean of both scores, each in units of
            its threshold.
        same_lesions: Dice of both masks with one another from which on they mark the same lesions.
        score_key: of the lesion score of the leading contrast.
        probability_key: of the probability that all contrasts give together.
        image_key: of the preprocessed image.

    The score becomes that of the mask. ``refinement`` has its threshold as ``volume_threshold``, the share that the
    other contrasts had in it as ``together_share``, the ``expected_dice`` of the mask, and ``agreement``, its Dice with
    that of the leading contrast. Where that mask stays, so do its score and its figures.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrast: str,
        score: str,
        score_sigma: float,
        score_limit: float,
        median_radius: int,
        smallest_share: float,
        search: Mapping[str, Any],
        together_ml: Sequence[float],
        same_lesions: float,
        score_key: str = "score",
        probability_key: str = "joint_probability",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.of_score = (contrast, score_sigma, score_limit, score)
        self.score = score
        self.median = MedianSmooth(median_radius)
        self.smallest_share = smallest_share
        self.search = search
        self.together_ml = together_ml
        self.same_lesions = same_lesions
        self.score_key = score_key
        self.probability_key = probability_key
        self.image_key = image_key

    def _joint(self, d: Mapping[Hashable, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score and probability of all contrasts, and the brain, H x W x D each."""
        image, probability = (
            torch.as_tensor(d[key]).cpu().movedim(-1, 0) for key in (self.image_key, self.probability_key)
        )
        brain = image > BACKGROUND
        score = lesion_score(probability, image, brain, *self.of_score)
        whole = (torch.as_tensor(self.median(volume[:, 0].movedim(0, -1)[None])[0]) for volume in (score, probability))
        smooth_score, smooth_probability = (volume.numpy() for volume in whole)
        inside = brain[:, 0].movedim(0, -1).numpy()
        return smooth_score, smooth_probability * inside, inside

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.probability_key not in d or self.score == "probability":
            return d
        key = next(iter(self.key_iterator(d)))
        millilitres = float(d[key].sum()) * millilitres_per_voxel(d[self.image_key].affine)
        share = float(np.interp(millilitres, self.together_ml, (0.0, 1.0)))
        d["refinement"] = {**d["refinement"], "together_share": share}
        if share == 0:
            return d
        joint, probability, brain = self._joint(d)
        lowest = float(d["refinement"]["lesion_threshold"])
        ratio, fewest = (self.search[name] for name in ("ratio", "fewest"))
        threshold = surest_threshold(joint, probability, brain, lowest, self.smallest_share, ratio, fewest)
        alone = torch.as_tensor(d[self.score_key])[0].cpu().numpy()
        score = np.clip(alone, 0, None) ** (1 - share) * np.clip(joint, 0, None) ** share
        threshold = d["refinement"]["volume_threshold"] ** (1 - share) * threshold**share
        mask = cleaned(score > threshold, self.smallest_share) & brain
        agreed = agreement(mask, torch.as_tensor(d[key])[0].cpu().numpy() > 0)
        if agreed >= self.same_lesions:
            d["refinement"] = {**d["refinement"], "together_share": 0.0, "agreement": agreed}
            return d
        decided = {
            "volume_threshold": threshold,
            "expected_dice": expected_dice(mask, probability),
            "agreement": agreed,
        }
        # how sure the other mask was is of no interest
        kept = {name: value for name, value in d["refinement"].items() if name not in OF_THE_RANGE}
        d["refinement"] = {**kept, **decided}
        d.pop(POSSIBLE, None)
        d[self.score_key] = convert_to_dst_type(score[None], d[self.score_key])[0]
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
