import torch

from bundle.training.synthetic_lesions import paint_lesions
from tests.limits import of_training

SETTINGS = of_training("synthetic_lesions")


def healthy(batch: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*[torch.arange(64) - 31.5] * 2, indexing="ij")
    brain = ((y / 28) ** 2 + (x / 22) ** 2 < 1).expand(batch, 1, 64, 64)
    return torch.where(brain, 1.5 + 0.3 * torch.randn(brain.shape, generator=generator), -3.0), brain


def paint(seed: int = 0, **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    image, brain = healthy()
    painted, lesions = paint_lesions(image, brain, torch.Generator().manual_seed(seed), **{**SETTINGS, **options})
    return image, brain, painted, lesions


def test_lesions_are_painted_into_the_brain_and_nowhere_else():
    image, brain, painted, lesions = paint(probability=1.0, radius_range=(3, 10))
    assert torch.equal(painted[~brain], image[~brain]) and (painted[brain] > -3).all()
    assert not (lesions & ~brain).any() and lesions.flatten(1).any(dim=1).float().mean() > 0.9
    change = (painted - image).abs()
    assert change[lesions].mean() > 0.5 and change[brain & ~lesions].mean() < 0.2


def test_the_share_of_images():
    image, _, painted, lesions = paint(probability=0.0)
    assert torch.equal(painted, image) and not lesions.any()
    image, _, painted, _ = paint(probability=0.5, radius_range=(4, 8))
    untouched = (painted == image).flatten(1).all(dim=1)
    assert 3 <= untouched.sum() <= 13


def test_bright_and_dark():
    for dark_share, sign in ((0.0, 1), (1.0, -1)):
        image, _, painted, lesions = paint(
            probability=1.0, dark_share=dark_share, core_share=0.0, replace_share=0.0, contrast_range=(1, 2)
        )
        assert (sign * (painted - image)[lesions]).mean() > 0.5


def test_cores_have_a_contrast_of_their_own():
    for core_share, low, high in ((0.0, 0.5, 2.0), (1.0, -2.0, 0.2)):
        image, _, painted, lesions = paint(
            probability=1.0,
            radius_range=(8, 12),
            dark_share=0.0,
            replace_share=0.0,
            contrast_range=(1, 1),
            core_share=core_share,
            core_contrast_range=(-2, -2),
        )
        assert low < (painted - image)[lesions].mean() < high


def test_seeded_and_different():
    _, _, first, _ = paint(3)
    _, _, again, _ = paint(3)
    _, _, other, _ = paint(4)
    assert torch.equal(first, again) and not torch.equal(first, other)
