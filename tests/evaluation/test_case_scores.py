import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import DiceMetric

from bundle.evaluation.best_possible import best_possible_dice
from bundle.evaluation.case_scores import MaskScoresd, ReconstructionScoresd
from bundle.evaluation.overlap import best_threshold, dice_by_threshold, overlap


def test_overlap():
    assert overlap(6, 2, 4) == {"dice": 12 / 18, "sensitivity": 0.6, "precision": 0.75}
    assert np.isnan(list(overlap(0, 0, 0).values())).all()
    assert np.isnan(list(overlap(0, 7, 0).values())).all()


def volumes(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask, label = (torch.rand(1, 12, 14, 5, generator=generator) > p for p in (0.6, 0.7))
    label[..., 1] = False
    return mask, label


def test_masks_are_scored_as_monai_scores_them():
    mask, label = volumes()
    affine = torch.diag(torch.tensor([2.0, 3, 5, 1]))
    data = {"pred": mask, "label": MetaTensor(label.float(), affine=affine)}
    scored = MaskScoresd(keys="pred", pixel_mm=2.0)(data)
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


def test_voxels_are_kept_for_the_thresholds():
    image = torch.full((1, 16, 16, 3), -3.0)
    image[:, 2:14, 2:14] = torch.randn(1, 12, 12, 3).clamp(min=-2.9)
    lesion = torch.zeros_like(image)
    lesion[0, 5:8, 5:8, 1] = 1
    data = {"image": image, "error": image.abs(), "reconstruction": image.clone(), "lesion": lesion}
    scored = ReconstructionScoresd(keys="image")(data)
    voxels = scored["voxels"]
    assert len(voxels["error"]) == 12 * 12 * 3 and voxels["lesion"].sum() == 9
    assert voxels["in_largest_slice"].sum() == 144 and voxels["lesion"][voxels["in_largest_slice"]].sum() == 9
    assert scored["reconstruction_scores"]["healthy_ssim"] == pytest.approx(1, abs=1e-4)
    assert scored["largest_slice_lesion"].shape == (1, 1, 16, 16)


def test_the_best_possible_mask_is_the_best_of_many(golden, golden_model):
    image, lesion = golden["test/image"], golden["test/lesion"]
    with torch.no_grad():
        whole = best_possible_dice(golden_model, image, lesion, fractions=(0.9, 0.6), step=0.2, last=1.0)
        parts = [
            best_possible_dice(golden_model, image, lesion, fractions=(fraction,), step=0.2, last=1.0)
            for fraction in (0.9, 0.6)
        ]
        shorter = best_possible_dice(golden_model, image, lesion, fractions=(0.9, 0.6), step=0.2, last=0.4)
        healthy = best_possible_dice(golden_model, image, torch.zeros_like(lesion), fractions=(0.9,), step=0.5)
    assert healthy.isnan().all()
    assert torch.equal(whole, torch.maximum(*parts))
    assert (whole >= shorter).all() and (whole > shorter).any() and (whole <= 1).all()
