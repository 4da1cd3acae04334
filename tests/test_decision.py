import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.decision import MarkLesionsd, with_holes_filled, without_small
from bundle.errors import InputError


def test_small_components_go():
    mask = np.zeros((10, 10, 4), bool)
    mask[:3, :3, :2] = mask[6, 6, 3] = True
    assert without_small(mask).sum() == 18 and without_small(mask, 0.01).sum() == 19
    assert not without_small(np.zeros_like(mask)).any()


def test_what_a_lesion_encloses_in_a_slice_is_filled():
    ring = np.zeros((9, 9, 3), bool)
    ring[2:7, 2:7, 1] = True
    ring[4, 4, 1] = False
    filled = with_holes_filled(ring)
    assert filled[4, 4, 1] and filled.sum() == ring.sum() + 1


def test_lesions_are_what_the_judge_sees_above_its_threshold():
    score = torch.zeros(1, 12, 12, 3)
    score[0, 2:7, 2:7] = 0.7
    score[0, 4, 4] = 0.1
    score[0, 9, 9, 0] = 0.9
    score[0, 0, 0] = 0.6
    pred = MetaTensor(torch.ones(1, 12, 12, 3), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    data = {"pred": pred, "score": score, "refinement": {"lesion_threshold": 0.65}}
    marked = MarkLesionsd(keys="pred")(data)["pred"]
    assert isinstance(marked, MetaTensor) and marked.affine[0, 0] == 2 and marked.dtype == pred.dtype
    # the lesion with its enclosed core; the speck is too small beside it, the corner too improbable
    assert marked.sum() == 75 and marked[0, 4, 4, 1] == 1
    everything = MarkLesionsd(keys="pred", smallest_share=0.0)(data)["pred"]
    assert everything.sum() == 76


def test_a_threshold_that_is_not_calibrated_marks_nothing_silently():
    data = {"pred": torch.ones(1, 4, 4, 2), "score": torch.zeros(1, 4, 4, 2)}
    with pytest.raises(InputError, match="calibrate_judge"):
        MarkLesionsd(keys="pred")({**data, "refinement": {"lesion_threshold": float("nan")}})
