"""The box around a mask."""

import numpy as np
import torch

from bundle.preprocessing.box import box_of


def test_the_smallest_box_and_none_around_nothing():
    mask = np.zeros((7, 5, 6), bool)
    mask[2, 1, 5] = mask[4, 3, 0] = True
    assert box_of(mask) == (slice(2, 5), slice(1, 4), slice(0, 6))
    assert box_of(torch.from_numpy(mask)) == box_of(mask)
    assert box_of(mask[2]) == (slice(1, 2), slice(5, 6))
    assert box_of(np.zeros((3, 4, 5), bool)) == ()
