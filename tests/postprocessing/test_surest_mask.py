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


def marked(score: str = "intensity", **refinement) -> tuple[np.ndarray, dict]:
    image = MetaTensor(torch.zeros(1, *SCORE.shape), affine=np.eye(4))
    image[:, :1] = BACKGROUND
    data = {
        "image": image,
        "pred": MetaTensor(torch.zeros(1, *SCORE.shape), affine=np.eye(4)),
        "score": torch.from_numpy(SCORE)[None],
        "probability": torch.from_numpy(PROBABILITY)[None],
        "refinement": {"lesion_threshold": 0.1, **refinement},
    }
    found = SurestMaskd("pred", score, 0.1, SEARCH)(data)
    return np.asarray(found["pred"][0]) > 0, found["refinement"]


def test_expected_dice_is_twice_the_overlap_by_both_sizes():
    probability = np.array([0.8, 0.8, 0.4, 0.0])
    assert expected_dice(np.array([True, True, False, False]), probability) == pytest.approx(3.2 / 4)
    assert expected_dice(np.zeros(4, bool), probability) == 0


def test_what_other_contrasts_deny_is_not_marked():
    mask, refinement = marked(threshold_range=[0.2, 0.4], uncertain_ml=[1.0, 2.0])
    assert np.array_equal(mask, SCORE == 1.0)
    # of the mask that is replaced
    assert not {"threshold_range", "uncertain_ml"} & set(refinement)
    assert 0.5 <= refinement["volume_threshold"] < 1.0
    assert refinement["expected_dice"] == pytest.approx(expected_dice(SCORE == 1.0, PROBABILITY), rel=1e-5)


def test_what_other_contrasts_confirm_is_marked():
    sure = np.where(SCORE > 0, 0.8, 0.0)
    assert surest_threshold(SCORE, sure, np.ones(SCORE.shape, bool), 0.1, 0.1, 1.2, 4) < 0.5


def test_the_probability_alone_stands():
    mask, after = marked("probability")
    assert not mask.any() and "expected_dice" not in after


def test_nothing_above_the_lowest_threshold_leaves_it():
    assert surest_threshold(SCORE, PROBABILITY, np.ones(SCORE.shape, bool), 2.0, 0.1, 1.2, 4) == 2.0
