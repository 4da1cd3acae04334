"""The mask of the highest expected Dice."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.postprocessing import SurestMaskd, expected_dice, surest_threshold
from bundle.preprocessing.intensities import BACKGROUND

SEARCH = {"ratio": 1.2, "fewest": 4, "size_exponent": 0.2}
LESION, FALSE = (slice(2, 8), slice(2, 8), slice(2, 5)), (slice(12, 18), slice(12, 18), slice(2, 5))
SCORE, PROBABILITY = np.zeros((20, 20, 7), np.float32), np.zeros((20, 20, 7), np.float32)
SCORE[LESION], SCORE[FALSE] = 1.0, 0.5
PROBABILITY[LESION], PROBABILITY[FALSE] = 0.8, 0.1


MARKED = np.zeros(SCORE.shape, np.float32)
MARKED[LESION] = 1
IMAGE = MetaTensor(torch.from_numpy(np.where(MARKED > 0, 2.0, 0.0).astype(np.float32))[None], affine=np.eye(4))
IMAGE[:, :1] = BACKGROUND


def marked(
    score: str = "intensity", together_ml: tuple = (0.0, 0.1), same_lesions: float = 0.99, **refinement
) -> tuple[np.ndarray, dict]:
    """What leads marks the lesion, 0.108 ml, and what is false."""
    data = {
        "image": IMAGE,
        "pred": MetaTensor(torch.from_numpy(MARKED)[None], affine=np.eye(4)),
        "score": torch.from_numpy(SCORE)[None],
        "joint_probability": torch.from_numpy(PROBABILITY)[None],
        "possible_lesions": torch.from_numpy(MARKED)[None],
        "refinement": {"lesion_threshold": 0.1, "volume_threshold": 0.4, **refinement},
    }
    found = SurestMaskd("pred", "bright", score, 0.8, 4.0, 1, 0.1, SEARCH, together_ml, same_lesions)(data)
    possible = "possible_lesions" in found
    facts = {**found["refinement"], "score": np.asarray(found["score"][0]), "possible": possible}
    return np.asarray(found["pred"][0]) > 0, facts


def test_expected_dice_is_twice_the_overlap_by_both_sizes():
    probability = np.array([0.8, 0.8, 0.4, 0.0])
    assert expected_dice(np.array([True, True, False, False]), probability) == pytest.approx(3.2 / 4)
    assert expected_dice(np.zeros(4, bool), probability) == 0
    assert expected_dice(np.zeros(4, bool), np.zeros(4)) == 0


def test_what_other_contrasts_deny_is_not_marked():
    mask, refinement = marked(threshold_range=[0.2, 0.4], uncertain_ml=[1.0, 2.0])
    assert refinement["together_share"] == 1 and mask[LESION].mean() > 0.5 and not mask[FALSE].any()
    # of the mask that is replaced
    assert not {"threshold_range", "uncertain_ml"} & set(refinement) and not refinement["possible"]
    assert np.array_equal(mask, refinement["score"] > refinement["volume_threshold"])
    assert 0.5 < refinement["expected_dice"] < 1


def test_the_leading_contrast_alone_decides_about_small_lesions():
    mask, refinement = marked(together_ml=(0.2, 0.3), threshold_range=[0.2, 0.4])
    assert np.array_equal(mask, MARKED > 0) and np.array_equal(refinement["score"], SCORE)
    assert refinement["together_share"] == 0 and refinement["volume_threshold"] == 0.4
    assert refinement["threshold_range"] == [0.2, 0.4] and "expected_dice" not in refinement and refinement["possible"]


def test_the_leading_contrast_outlines_what_all_agree_on():
    mask, refinement = marked()
    agreed = 2 * (mask & (MARKED > 0)).sum() / (mask.sum() + (MARKED > 0).sum())
    assert refinement["agreement"] == pytest.approx(agreed) and 0 < agreed < 0.99
    mask, refinement = marked(same_lesions=agreed, threshold_range=[0.2, 0.4])
    assert np.array_equal(mask, MARKED > 0) and np.array_equal(refinement["score"], SCORE)
    assert refinement["together_share"] == 0 and refinement["agreement"] == pytest.approx(agreed)
    assert refinement["threshold_range"] == [0.2, 0.4] and refinement["volume_threshold"] == 0.4


def test_between_small_and_large_both_scores_count():
    whole, half = marked()[1], marked(together_ml=(0.058, 0.158))[1]
    assert half["together_share"] == pytest.approx(0.5)
    assert half["volume_threshold"] == pytest.approx((0.4 * whole["volume_threshold"]) ** 0.5)
    assert np.allclose(half["score"], (SCORE * whole["score"]) ** 0.5, atol=1e-6)


def test_what_other_contrasts_confirm_is_marked():
    sure = np.where(SCORE > 0, 0.8, 0.0)
    assert surest_threshold(SCORE, sure, np.ones(SCORE.shape, bool), 0.1, 0.1, 1.2, 4) < 0.5


def test_the_probability_alone_stands():
    mask, after = marked("probability")
    assert np.array_equal(mask, MARKED > 0) and "expected_dice" not in after


def test_nothing_above_the_lowest_threshold_leaves_it():
    assert surest_threshold(SCORE, PROBABILITY, np.ones(SCORE.shape, bool), 2.0, 0.1, 1.2, 4) == 2.0
