import numpy as np

from bundle.evaluation import plain_methods
from bundle.evaluation.comparison import mask_scores
from bundle.evaluation.methods import CLEANED_PLAIN
from tests.evaluation.simulated_cases import NUMBERS, case

PLAIN = plain_methods(NUMBERS["smallest_share"], NUMBERS["smoothing"], NUMBERS["sharpest"])


def test_a_plain_threshold_follows_the_edge_of_each_volume():
    dim, bright = case(0), case(1, shift=80)
    for one in (dim, bright):
        mask = PLAIN[-1].values(one)
        assert 2 * (mask & one.label).sum() / (mask.sum() + one.label.sum()) > 0.6


def test_plain_thresholds_find_dark_lesions_where_lesions_are_dark():
    one = case(1, shift=80)
    dark = one._replace(image=np.where(one.brain, one.image.max() + 1 - one.image, 0))
    found = {}
    for method in PLAIN:
        if method.name.startswith("plain: of the whole volume") or method.name == CLEANED_PLAIN:
            values = method.values(dark)
            masks = (method.mask(values, t, dark) for t in np.quantile(values[dark.brain], [0.9, 0.95, 0.98]))
            found[method.name] = max(mask_scores(mask, dark)["dice"] for mask in masks)
    of_dark, of_both = (name for name in found if name != CLEANED_PLAIN)
    assert found[CLEANED_PLAIN] < 0.1 and found[of_dark] > 0.6 and found[of_both] > 0.6
