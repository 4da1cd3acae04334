# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the lesion score to the lesion mask of a volume; no part of the published method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from bundle.errors import InputError
from bundle.model.lesion_score import lesion_intensity
from bundle.postprocessing.cleaning import cleaned, without_small
from bundle.postprocessing.small_lesions import separate_lesions, smoothed_across_slices
from bundle.postprocessing.volume_threshold import sharpest_threshold
from bundle.preprocessing.intensities import BACKGROUND


class MarkLesionsd(MapTransform):
    """Replace the mask that the refinement left by what scores as a lesion.

    Args:
        keys: of the mask, 1 x H x W x D.
        contrast: in which direction lesions differ, see :py:func:`bundle.model.contrast.reconstruction_error`.
        score: what it is made of, see :py:func:`bundle.model.lesion_score.lesion_score`.
        score_sigma: of the score's intensity, see :py:func:`bundle.model.lesion_score.robust_intensity`.
        smallest_share: see :py:func:`without_small` and :py:func:`cleaned`.
        search: of the threshold: ``size_exponent``, ``ratio`` and ``fewest``, see :py:func:`sharpest_threshold`.
        small_lesion: where the largest lesion is smaller than so many millilitres, all are marked one by one; 0 to mark
            none so.
        small_lesion_rule: how they are: ``peak_ratio`` and ``cut``, see :py:func:`separate_lesions`, and ``sigma`` in
            millimetres, see :py:func:`smoothed_across_slices`.
        score_key: of the lesion score, see :py:mod:`bundle.model.lesion_score`, smoothed by a median. Where lesions are
            marked one by one it gives way to the score by which they are.
        slice_score_key: of the same as the slices gave it.
        image_key: of the preprocessed image.

    Of a score by intensity the threshold is that of :py:func:`sharpest_threshold`, above the ``lesion_threshold`` in
    ``refinement``, which gains it as ``volume_threshold``; or where lesions are small ``separate_lesions``, true. Of a
    score by probability it is ``lesion_threshold`` itself, for lesions of every size.

    Raises:
        InputError: when ``lesion_threshold`` is not calibrated.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrast: str,
        score: str,
        score_sigma: float,
        smallest_share: float,
        search: Mapping[str, Any],
        small_lesion: float,
        small_lesion_rule: Mapping[str, float],
        score_key: str = "score",
        slice_score_key: str = "slice_score",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.contrast = contrast
        self.score = score
        self.score_sigma = score_sigma
        self.smallest_share = smallest_share
        self.search = search
        self.small_lesion = small_lesion
        self.small_lesion_rule = small_lesion_rule
        self.score_key = score_key
        self.slice_score_key = slice_score_key
        self.image_key = image_key

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
        in_brain = image > BACKGROUND
        by_slice = lesion_intensity(image, in_brain, self.contrast, self.score_sigma)
        intensity, brain = (volume[:, 0].movedim(0, -1).cpu().numpy() for volume in (by_slice, in_brain))
        threshold, by_intensity = lowest, self.score == "intensity"
        if by_intensity:
            threshold = sharpest_threshold(score, intensity, brain, lowest, self.smallest_share, **self.search)
        mask = cleaned(score > threshold, self.smallest_share)
        decided: dict[str, Any] = {"volume_threshold": threshold}
        spacing = affine_to_spacing(d[self.image_key].affine)
        largest_ml = without_small(mask, share=1.0).sum() * float(spacing.prod()) / 1000
        if by_intensity and largest_ml < self.small_lesion:
            rule = self.small_lesion_rule
            score = smoothed_across_slices(slice_score, float(spacing[2]), rule["sigma"])
            mask = separate_lesions(score, lowest, rule["peak_ratio"], rule["cut"])
            decided = {"separate_lesions": True}
            # what is delivered is the score that made the mask
            d[self.score_key] = convert_to_dst_type(score[None], d[self.score_key])[0]
        # holes in the brain mask are filled like others
        mask &= brain
        d["refinement"] = {**d["refinement"], **decided}
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(mask[None], d[key])[0]
        return d
