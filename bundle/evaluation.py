# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scores against expert masks: first those that need no label to set a threshold, then those of the paper."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from torch import nn

from bundle.frequency import high_frequency
from bundle.metrics import healthy_ssim
from bundle.refinement import reconstruction_error, start_mask
from bundle.transforms import BACKGROUND


def share(part: float, whole: float) -> float:
    """Their ratio; NaN where there is nothing to divide by."""
    return float(part / whole) if whole else math.nan


def overlap(true_positive: float, false_positive: float, false_negative: float) -> dict[str, float]:
    """Dice, sensitivity and precision from counts; NaN where there is nothing to divide by.

    Where there is no lesion all three are NaN, whatever is marked, as the Dice of MONAI's ``MeanDice`` is: what is
    marked then counts as false positive volume.
    """
    lesion = true_positive + false_negative
    if not lesion:
        return dict.fromkeys(("dice", "sensitivity", "precision"), math.nan)
    return {
        "dice": share(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "sensitivity": share(true_positive, lesion),
        "precision": share(true_positive, true_positive + false_positive),
    }


def _counts(mask: torch.Tensor, label: torch.Tensor) -> list[torch.Tensor]:
    """True positives, false positives and false negatives of each slice (the last axis)."""
    pairs = ((mask & label), (mask & ~label), (~mask & label))
    return [pair.flatten(0, -2).sum(dim=0) for pair in pairs]


class MaskScoresd(MapTransform):
    """Score the delivered mask against the label in the label's own grid, as a volume and slice by slice.

    Args:
        keys: of the mask, axes towards left, posterior, superior.
        label_key: of the expert's mask on the same grid.
        pixel_mm: size of the model's pixels, in which the lesion area of a slice is counted.
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", pixel_mm: float = 1.875) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.pixel_mm = pixel_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        label = torch.as_tensor(d[self.label_key][0]).cpu() > 0
        spacing = [float(mm) for mm in affine_to_spacing(d[self.label_key].affine)]
        for key in self.key_iterator(d):
            mask = torch.as_tensor(d[key][0]).cpu() > 0
            tp, fp, fn = _counts(mask, label)
            lesion_pixels = (tp + fn) * spacing[0] * spacing[1] / self.pixel_mm**2
            largest = int((tp + fn).argmax())
            millilitres = float(np.prod(spacing)) / 1000.0
            free = (tp + fn) == 0
            d["slice_scores"] = [
                {
                    "slice": z,
                    "lesion_pixels_at_128": round(float(lesion_pixels[z]), 1),
                    **overlap(int(tp[z]), int(fp[z]), int(fn[z])),
                    "false_positive_ml": int(fp[z]) * millilitres,
                }
                for z in range(label.shape[-1])
            ]
            d["scores"] = {
                "lesion_ml": int((tp + fn).sum()) * millilitres,
                "mask_ml": int((tp + fp).sum()) * millilitres,
                **overlap(int(tp.sum()), int(fp.sum()), int(fn.sum())),
                "largest_slice": largest,
                "largest_slice_pixels_at_128": round(float(lesion_pixels[largest]), 1),
                **{
                    f"largest_slice_{name}": value
                    for name, value in overlap(int(tp[largest]), int(fp[largest]), int(fn[largest])).items()
                },
                "false_positive_ml_on_lesion_free_slices": int(fp[free].sum()) * millilitres,
            }
        return d


class ReconstructionScoresd(MapTransform):
    """Score the reconstruction on healthy brain, and keep what the label-chosen thresholds need, on the model's grid.

    Args:
        keys: of the preprocessed image.
        lesion_key: of the label brought to the same grid.
        smallest_brain: a slice counts when its brain area is at least this share of the volume's largest.

    The data gain ``reconstruction_scores`` (healthy SSIM of all slices, and of the one with the largest lesion) and
    ``voxels``: error, intensity and label at each brain voxel, and which of them lie in the largest-lesion slice.
    """

    def __init__(self, keys: KeysCollection, lesion_key: str = "lesion", smallest_brain: float = 0.15) -> None:
        super().__init__(keys)
        self.lesion_key = lesion_key
        self.smallest_brain = smallest_brain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            # slices first: D x 1 x H x W
            image, error, reconstruction, lesion = (
                torch.as_tensor(d[name]).cpu().movedim(-1, 0)
                for name in (key, "error", "reconstruction", self.lesion_key)
            )
            brain, lesion = image > BACKGROUND, lesion > 0
            area = brain.flatten(1).sum(dim=1)
            counted = area >= self.smallest_brain * area.max()
            ssim = healthy_ssim(image, reconstruction, brain & ~lesion)
            largest = int(lesion.flatten(1).sum(dim=1).argmax())
            d["reconstruction_scores"] = {
                "healthy_ssim": float(ssim[counted].nanmean()),
                "largest_slice_healthy_ssim": float(ssim[largest]) if bool(lesion.any()) else math.nan,
            }
            in_largest = torch.zeros_like(brain)
            in_largest[largest] = True
            d["voxels"] = {
                name: values[brain].numpy()
                for name, values in (
                    ("error", error),
                    ("intensity", image),
                    ("lesion", lesion),
                    ("in_largest_slice", in_largest),
                )
            }
            d["largest_slice_image"] = image[largest : largest + 1]
            d["largest_slice_lesion"] = lesion[largest : largest + 1]
        return d


def dice_by_threshold(values: np.ndarray, lesion: np.ndarray, thresholds: np.ndarray, missed: int = 0) -> np.ndarray:
    """Dice of ``values > threshold`` against ``lesion`` for each of the ascending thresholds; NaN without a lesion.

    ``missed`` counts lesion voxels that are not among the values and so are never found.
    """
    order = np.argsort(values, kind="stable")
    # lesion voxels among the n largest values, for n from all to none
    remaining = np.concatenate([np.cumsum(lesion[order][::-1])[::-1], [0]])
    first = np.searchsorted(values[order], thresholds, side="right")
    positive = len(values) - first
    size = lesion.sum() + missed
    return 2 * remaining[first] / (positive + size) if size else np.full(len(thresholds), np.nan)


def best_threshold(cases: Sequence[tuple[np.ndarray, np.ndarray]], thresholds: np.ndarray) -> tuple[float, np.ndarray]:
    """The threshold with the best mean Dice over cases with a lesion, and the Dice of every case at it."""
    table = np.stack([dice_by_threshold(values, lesion, thresholds) for values, lesion in cases])
    best = int(np.nanargmax(np.nanmean(table, axis=0)))
    return float(thresholds[best]), table[:, best]


def best_possible_dice(
    model: nn.Module,
    image: torch.Tensor,
    lesion: torch.Tensor,
    fractions: Sequence[float] = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
    step: float = 0.001,
    last: float = 0.3,
) -> torch.Tensor:
    """The best mask that any start fraction and any rising threshold would have given (paper section 3.1).

    From each start fraction the mask is refined with a threshold of ``step``; whenever no image shrinks any more the
    threshold rises by ``step``, up to ``last``.

    Args:
        model: an :py:class:`bundle.refinement.IterMaskNet`.
        image: normalised slices, B x 1 x H x W.
        lesion: bool, the shape of ``image``.

    Returns:
        Tensor: the best Dice of each image, shape B; chosen with the label, and NaN without a lesion.
    """
    diseased = lesion.flatten(1).any(dim=1)
    if not bool(diseased.any()):
        return torch.full((len(image),), torch.nan, device=image.device)
    brain = image > BACKGROUND
    seeds = torch.arange(len(image), device=image.device)
    initial = model.initial(high_frequency(image, model.radius)).float()
    error = reconstruction_error(image, initial, model.contrast)
    best = torch.zeros(len(image), device=image.device)
    for fraction in fractions:
        mask = start_mask(error, brain, fraction)
        for i in range(1, round(last / step) + 1):
            threshold = torch.tensor(i * step, device=image.device)
            mask = model.refine(image, brain, seeds, None, mask, None, None, threshold).mask
            shared = (mask & lesion).flatten(1).sum(dim=1)
            dice = 2 * shared / (mask.flatten(1).sum(dim=1) + lesion.flatten(1).sum(dim=1)).clamp(min=1)
            best = torch.maximum(best, dice)
            if not bool(mask.any()):
                break
    return best.where(diseased, torch.nan)
