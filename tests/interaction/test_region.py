import numpy as np

from bundle.interaction import click_region

RULE = {
    **{"reach": 20.0, "rim": 1.0, "depth": 2.0, "blur": 0.01, "spot": 1.2, "with": 3.0, "score": 3.0},
    "crumbs": 0.1,
    "lesion": {"fall": 14.0, "against": 0.1, "contrast": 0.3},
    "normal": {"fall": 21.0, "against": 0.45, "contrast": 0.0},
}
MILLIMETRE = np.ones(3)


def region(intensity, voxel=(20, 20, 5), lesion=True, wrong=None, score=None):
    shape = intensity.shape
    wrong = np.ones(shape, bool) if wrong is None else wrong
    score = np.zeros(shape) if score is None else score
    return click_region(voxel, lesion, wrong, np.ones(shape, bool), intensity, score, MILLIMETRE, RULE)


def test_it_ends_at_an_edge_and_falls_off_smoothly():
    intensity = np.zeros((41, 41, 11))
    intensity[14:27, 14:27, 3:8] = 2.0
    belongs = region(intensity)
    assert np.array_equal(belongs > 0, intensity > 0)
    assert belongs[20, 20, 5] == 1 and (np.diff(belongs[20:27, 20, 5]) < 0).all()
    # six millimetres of fourteen, squared
    assert belongs[26, 20, 5] == np.float32(1 - (6 / 14) ** 2)


def test_what_is_not_connected_does_not_belong():
    intensity = np.zeros((41, 41, 11))
    intensity[18:23, 18:23, 3:8] = intensity[26:30, 18:23, 3:8] = 2.0
    belongs = region(intensity)
    assert belongs[20, 20, 5] == 1 and not belongs[24:].any()


def test_it_is_bounded_where_all_is_alike():
    belongs = region(np.zeros((61, 61, 11)), (30, 30, 5), lesion=False)
    at = np.argwhere(belongs > 0) - (30, 30, 5)
    assert 19.5 < np.linalg.norm(at, axis=1).max() <= 20


def test_it_is_no_deeper_than_the_click_lets_expect():
    """A click in a rim of two millimetres takes the rim; one deep inside takes the whole."""
    wrong = np.zeros((41, 41, 41), bool)
    wrong[5:36, 5:36, 5:36] = True
    flat = np.zeros(wrong.shape)
    rim, middle = region(flat, (6, 20, 20), wrong=wrong), region(flat, (20, 20, 20), wrong=wrong)
    # twice the depth of the click, which is 2, and the rim of 1 more: up to 5
    assert rim[9, 20, 20] > 0 and not rim[10:].any() and middle[8, 20, 20] > 0


def test_the_score_keeps_a_click_on_a_lesion_from_what_scores_far_lower():
    score = np.zeros((41, 41, 11))
    score[24:] = -3.0
    belongs = region(np.zeros(score.shape), score=score)
    assert belongs[23, 20, 5] > 0 and not belongs[24:].any()
    # a click on normal tissue takes what scores lower
    assert region(np.zeros(score.shape), lesion=False, score=score)[24, 20, 5] > 0


def test_small_pieces_that_it_cuts_off_go_with_it_and_large_ones_stay():
    wrong = np.zeros((41, 41, 11), bool)
    wrong[15:26, 15:26, 3:8] = True
    # too bright for a click on normal tissue: a crumb at an end of the error, and half of another error
    bright = np.zeros(wrong.shape)
    bright[24:26, 15:20, 3:5] = 2.0
    assert np.array_equal(region(bright, lesion=False, wrong=wrong) > 0, wrong)
    bright[20:26, 15:26, 3:8] = 2.0
    belongs = region(bright, (17, 20, 5), lesion=False, wrong=wrong)
    assert np.array_equal(belongs > 0, wrong & (bright == 0))
