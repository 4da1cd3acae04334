import pytest
import torch

from bundle.evaluation import ReconstructionScoresd


def test_voxels_are_kept_for_the_thresholds():
    image = torch.full((1, 16, 16, 3), -3.0)
    image[:, 2:14, 2:14] = torch.randn(1, 12, 12, 3).clamp(min=-2.9)
    lesion = torch.zeros_like(image)
    lesion[0, 5:8, 5:8, 1] = 1
    # another brain where the lesion is, which does not count
    healthy = image - 5 * lesion
    data = {"image": image, "error": image.abs(), "reconstruction": healthy, "lesion": lesion}
    scored = ReconstructionScoresd(keys="image", smallest_brain=0.15)(data)
    voxels = scored["voxels"]
    assert len(voxels["error"]) == 12 * 12 * 3 and voxels["lesion"].sum() == 9
    assert voxels["in_largest_slice"].sum() == 144 and voxels["lesion"][voxels["in_largest_slice"]].sum() == 9
    assert scored["reconstruction_scores"]["healthy_ssim"] == pytest.approx(1, abs=1e-4)
    assert scored["largest_slice_lesion"].shape == (1, 1, 16, 16)


def test_slices_with_little_brain_do_not_count():
    image = torch.full((1, 16, 16, 3), -3.0)
    image[:, 2:14, 2:14, :2] = torch.randn(1, 12, 12, 2).clamp(min=-2.9)
    image[:, 6:10, 6:10, 2] = 1.0
    reconstruction = image.clone()
    reconstruction[:, 6:10, 6:10, 2] = torch.linspace(-2, 2, 16).reshape(1, 4, 4)
    data = {"image": image, "error": image.abs(), "reconstruction": reconstruction, "lesion": torch.zeros_like(image)}
    ssim = [
        ReconstructionScoresd(keys="image", smallest_brain=share)(data)["reconstruction_scores"]["healthy_ssim"]
        for share in (0.15, 0.0)
    ]
    assert ssim[0] == pytest.approx(1, abs=1e-4) and ssim[1] < 0.99
