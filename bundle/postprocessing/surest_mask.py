# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The mask that by several contrasts together agrees best with the lesions; no part of the published method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from bundle.postprocessing.cleaning import cleaned
from bundle.preprocessing.intensities import BACKGROUND


def expected_dice(mask: np.ndarray, probability: np.ndarray) -> float:
    """The Dice that a mask is expected to have, by the probability of a lesion in each voxel.

    Args:
        mask: bool.
        probability: the shape of ``mask``, 0 to 1, 0 outside the brain.
    """
    return float(2 * probability[mask].sum() / (probability.sum() + mask.sum()))


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

    It comes after :py:class:`bundle.postprocessing.mark_lesions.MarkLesionsd`, and leaves its mask alone where there is
    one contrast, and where the score is the probability itself.

    Args:
        keys: of the mask, 1 x H x W x D.
        score: what the score is made of, see :py:func:`bundle.model.lesion_score.lesion_score`.
        smallest_share: see :py:func:`cleaned`.
        search: of the threshold, its ``ratio`` and ``fewest``, see :py:func:`surest_threshold`.
        score_key: of the lesion score.
        probability_key: of the probability that all contrasts give together, smoothed as the score is.
        image_key: of the preprocessed image.

    ``refinement`` has the threshold as ``volume_threshold``, and the ``expected_dice`` of the mask.
    """

    def __init__(
        self,
        keys: KeysCollection,
        score: str,
        smallest_share: float,
        search: Mapping[str, Any],
        score_key: str = "score",
        probability_key: str = "probability",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.score = score
        self.smallest_share = smallest_share
        self.search = search
        self.score_key = score_key
        self.probability_key = probability_key
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.probability_key not in d or self.score == "probability":
            return d
        score, probability, image = (
            torch.as_tensor(d[key])[0].cpu().numpy() for key in (self.score_key, self.probability_key, self.image_key)
        )
        brain = image > BACKGROUND
        probability = probability * brain
        lowest = float(d["refinement"]["lesion_threshold"])
        ratio, fewest = (self.search[name] for name in ("ratio", "fewest"))
        threshold = surest_threshold(score, probability, brain, lowest, self.smallest_share, ratio, fewest)
        mask = cleaned(score > threshold, self.smallest_share) & brain
        decided = {"volume_threshold": threshold, "expected_dice": expected_dice(mask, probability)}
        # how sure the other mask was is of no interest
        kept = {name: value for name, value in d["refinement"].items() if name not in OF_THE_RANGE}
        d["refinement"] = {**kept, **decided}
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
