import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.model.lesion_score import lesion_score, robust_intensity, score_kind

SIGMA = 0.8


@pytest.fixture
def volume() -> tuple[torch.Tensor, torch.Tensor]:
    """Three slices of noise with a bright and a dark spot, half of each slice brain."""
    image = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    brain = torch.zeros_like(image, dtype=torch.bool)
    brain[:, :, :, :16] = True
    image[1, 0, 8:12, 4:8], image[1, 0, 20:24, 4:8] = 4.0, -4.0
    return torch.where(brain, image, -3.0), brain


def test_intensity_is_robust_and_knows_no_scale(volume):
    image, brain = volume
    intensity = robust_intensity(image, brain, SIGMA)
    assert abs(intensity[brain].median()) < 0.1 and not intensity[~brain].any()
    assert torch.allclose(robust_intensity(5 * image + 2, brain, SIGMA), intensity, atol=1e-4)
    # without smoothing it is a plain (x - median of the slice) / IQR of the volume
    iqr = np.subtract(*np.percentile(image[brain], [75, 25]))
    for one, inside, found in zip(image, brain, robust_intensity(image, brain, sigma=0.01)):
        assert np.allclose(found[inside], (one[inside] - one[inside].median()) / iqr, atol=0.02)


def test_a_slice_that_is_brighter_as_a_whole_looks_no_more_like_a_lesion(volume):
    image, brain = volume
    brighter = image.clone()
    brighter[0] += 0.2 * brain[0]
    assert torch.allclose(robust_intensity(brighter, brain, SIGMA), robust_intensity(image, brain, SIGMA), atol=0.15)
    assert abs(robust_intensity(brighter, brain, SIGMA)[0][brain[0]].median()) < 0.1
    assert robust_intensity(image, brain & (torch.arange(3) != 2)[:, None, None, None], SIGMA)[2].eq(0).all()


@pytest.mark.parametrize(("contrast", "bright", "dark"), [("bright", 4, 0), ("dark", 0, 4), ("any", 4, 4)])
def test_the_score_looks_in_the_direction_of_lesions(volume, contrast, bright, dark):
    image, brain = volume
    score = lesion_score(torch.full_like(image, 0.25), image, brain, contrast, SIGMA, limit=4.0, score="intensity")
    assert score[1, 0, 9:11, 5:7].mean() == pytest.approx(bright / 2) and score.max() <= 2
    assert score[1, 0, 21:23, 5:7].mean() == pytest.approx(dark / 2) and score.min() >= 0
    assert not lesion_score(torch.zeros_like(image), image, brain, contrast, SIGMA, limit=4.0, score="intensity").any()


def test_slices_without_brain_have_no_score(volume):
    image, _ = volume
    nothing = torch.zeros_like(image, dtype=torch.bool)
    assert not lesion_score(torch.ones_like(image), image, nothing, "bright", SIGMA, limit=4.0, score="intensity").any()


def test_by_probability_the_score_is_what_the_judge_says(volume):
    """Bright, dark and plain pixels of the same probability have the same score."""
    image, brain = volume
    probability = torch.rand(image.shape, generator=torch.Generator().manual_seed(1))
    for contrast in ("bright", "dark", "any"):
        score = lesion_score(probability, image, brain, contrast, SIGMA, limit=4.0, score="probability")
        assert torch.equal(score[brain], probability[brain]) and not score[~brain].any()


def test_the_modality_says_what_the_score_is_made_of():
    assert [score_kind(name) for name in ("flair", "t2", "t1", "t1ce")] == ["intensity"] * 2 + ["probability"] * 2
    with pytest.raises(InputError, match="pd: no such modality"):
        score_kind("pd")
