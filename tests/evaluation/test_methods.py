import numpy as np

from bundle.evaluation import plain_methods
from bundle.evaluation.overlap import mask_scores
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
    found = []
    for method in PLAIN:
        if method.name.startswith("plain: of the whole volume") or method.name.endswith("3D median, cleaned"):
            values = method.values(dark)
            masks = (method.mask(values, t, dark) for t in np.quantile(values[dark.brain], [0.9, 0.95, 0.98]))
            found.append(max(mask_scores(mask, dark.label)["dice"] for mask in masks))
    of_bright, of_dark, of_both = found
    assert of_bright < 0.1 and of_dark > 0.6 and of_both > 0.6
