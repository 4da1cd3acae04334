from bundle.evaluation.methods import plain_at_sharpest_edge
from tests.evaluation.simulated_cases import case


def test_a_plain_threshold_follows_the_edge_of_each_volume():
    dim, bright = case(0), case(1, shift=80)
    for one in (dim, bright):
        mask = plain_at_sharpest_edge(one)
        assert 2 * (mask & one.label).sum() / (mask.sum() + one.label.sum()) > 0.6
