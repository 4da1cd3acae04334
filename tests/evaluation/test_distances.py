import math

import pytest
import torch

from bundle.evaluation.distances import outline_distances


def test_outlines_are_measured_in_millimetres():
    mask, label = torch.zeros(2, 20, 20, 6, dtype=torch.bool)
    label[5:10, 5:10, 2:4] = True
    mask[5:10, 5:10, 3:5] = True
    # the same body, one slice of 4 mm higher: half of the surface lies on the other
    shifted = outline_distances(mask, label, spacing=(1.0, 1.0, 4.0))
    assert shifted["hausdorff_95_mm"] == pytest.approx(4)
    assert 0 < shifted["surface_distance_mm"] < 4
    assert outline_distances(label, label, spacing=(1.0, 1.0, 4.0)) == {
        "hausdorff_95_mm": 0.0,
        "surface_distance_mm": 0.0,
    }


@pytest.mark.parametrize("empty", [0, 1])
def test_there_is_no_distance_to_nothing(empty):
    pair = list(torch.ones(2, 4, 4, 4, dtype=torch.bool))
    pair[empty][:] = False
    assert all(math.isnan(mm) for mm in outline_distances(*pair, spacing=(1.0, 1.0, 1.0)).values())
