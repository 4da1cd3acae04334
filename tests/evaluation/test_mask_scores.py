import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import DiceMetric

from bundle.evaluation import MaskScoresd


def volumes(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask, label = (torch.rand(1, 12, 14, 5, generator=generator) > p for p in (0.6, 0.7))
    label[..., 1] = False
    return mask, label


def test_masks_are_scored_as_monai_scores_them():
    mask, label = volumes()
    affine = torch.diag(torch.tensor([2.0, 3, 5, 1]))
    data = {"pred": mask, "label": MetaTensor(label.float(), affine=affine)}
    scored = MaskScoresd(keys="pred", pixel_mm=2.0, found_share=0.1)(data)
    scores = scored["scores"]
    assert scores["dice"] == pytest.approx(float(DiceMetric()(mask[None], label[None])), abs=1e-6)
    largest = int(label.sum(dim=(0, 1, 2)).argmax())
    assert scores["largest_slice"] == largest
    expected = float(DiceMetric()(mask[None, ..., largest], label[None, ..., largest]))
    assert scores["largest_slice_dice"] == pytest.approx(expected, abs=1e-6)
    # 2 x 3 mm voxels counted in 2 x 2 mm pixels, 30 cubic millimetres each
    assert scores["largest_slice_pixels_at_128"] == pytest.approx(float(label[..., largest].sum()) * 6 / 4, abs=0.1)
    assert scores["lesion_ml"] == pytest.approx(float(label.sum()) * 0.03)
    assert scores["false_positive_ml_on_lesion_free_slices"] == pytest.approx(float(mask[..., 1].sum()) * 0.03)
    assert np.isnan(scored["slice_scores"][1]["sensitivity"])


def test_lesions_and_marks_are_counted_one_by_one():
    mask, label = torch.zeros(2, 1, 20, 20, 4, dtype=torch.bool)
    label[0, 2:6, 2:7, 1] = True
    label[0, 12:16, 2:7, 1] = True
    mask[0, 2:4, 2, 1] = True
    mask[0, 18, 18, 3] = True
    data = {"pred": mask, "label": MetaTensor(label.float(), affine=torch.eye(4))}
    for share, found in ((0.1, 1), (0.2, 0)):
        scored = MaskScoresd(keys="pred", pixel_mm=2.0, found_share=share)(data)
        scores, lesions = scored["scores"], scored["lesion_scores"]
        assert (scores["lesions"], scores["lesions_found"]) == (2, found)
        assert lesions[0] == {"lesion_ml": pytest.approx(0.02), "marked": pytest.approx(0.1), "found": bool(found)}
        assert lesions[1] == {"lesion_ml": pytest.approx(0.02), "marked": 0, "found": False}
        assert (scores["components"], scores["components_right"]) == (2, 1)
