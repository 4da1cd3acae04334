import numpy as np

from bundle.evaluation.overlap import best_threshold, dice_by_threshold, overlap_scores


def test_scores_of_counts():
    assert overlap_scores(6, 2, 4) == {"dice": 12 / 18, "sensitivity": 0.6, "precision": 0.75}
    assert np.isnan(list(overlap_scores(0, 0, 0).values())).all()
    assert np.isnan(list(overlap_scores(0, 7, 0).values())).all()


def test_dice_at_every_threshold_at_once():
    random = np.random.RandomState(0)
    values, lesion = random.normal(size=500).round(1), random.rand(500) > 0.8
    thresholds = np.linspace(-4, 4, 41).round(1)
    expected = [2 * ((values > t) & lesion).sum() / ((values > t).sum() + lesion.sum()) for t in thresholds]
    assert np.allclose(dice_by_threshold(values, lesion, thresholds), expected)
    threshold, dice = best_threshold([(values, lesion), (values + 1, lesion)], thresholds)
    second = [2 * ((values + 1 > t) & lesion).sum() / ((values + 1 > t).sum() + lesion.sum()) for t in thresholds]
    best = int(np.argmax(np.add(expected, second)))
    assert np.isnan(dice_by_threshold(values, np.zeros(500, bool), thresholds)).all()
    assert threshold == thresholds[best] and np.allclose(dice, [expected[best], second[best]])
