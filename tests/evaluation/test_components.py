import numpy as np

from bundle.evaluation.components import component_shares, covered_components


def test_components_are_counted_by_the_share_that_is_covered():
    mask, other = np.zeros((2, 20, 20, 3), bool)
    mask[2:4, 2:7, 1] = True
    # touches the first by a corner: one component
    mask[4, 7, 2] = True
    mask[12:14, 2:12, 1] = True
    other[2, 2:4, 1] = True
    other[12, 2, 1] = True
    assert covered_components(mask, other, share=0.1) == (1, 2)
    assert covered_components(mask, other, share=0.05) == (2, 2)
    assert covered_components(np.zeros_like(mask), other, share=0.1) == (0, 0)
    sizes, shares = component_shares(mask, other)
    assert sizes.tolist() == [11, 20] and shares.tolist() == [2 / 11, 0.05]
