import pytest
import torch

from bundle.preprocessing.intensities import BACKGROUND
from bundle.training import Appearance
from bundle.training.fields import as_normalised, as_signal, other_contrast, scanned, smooth_fields
from bundle.training.small_lesions import paint_small_lesions
from tests.limits import of_training

SCANNER, SMALL_LESIONS = of_training("scanner"), of_training("small_lesions")


@pytest.fixture
def slices():
    axis = torch.linspace(-1, 1, 64)
    brain = ((axis[:, None] / 0.8) ** 2 + (axis[None] / 0.6) ** 2 < 1).expand(8, 1, 64, 64)
    image = 1.0 + 0.2 * torch.randn(brain.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(brain, image, BACKGROUND), brain


def test_signal_and_back(slices):
    image, brain = slices
    assert as_signal(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0.0, 0.5, 1.0]
    assert torch.allclose(as_normalised(as_signal(image), brain), image, atol=1e-5)


def test_fields_have_the_strength_asked_for(slices):
    brain = slices[1][:3]
    strength = torch.tensor([0.0, 0.1, 0.3]).reshape(3, 1, 1, 1)
    fields = smooth_fields(brain, strength, torch.Generator().manual_seed(1), cells=3, ramp_share=0.5)
    for field, inside, wanted in zip(fields, brain, strength.flatten()):
        logarithm = field[inside].log()
        assert float(logarithm.std(correction=0)) == pytest.approx(float(wanted), abs=0.02)
        assert float(logarithm.mean()) == pytest.approx(0, abs=0.02)


def test_a_scanner_keeps_background_and_brightness(slices):
    image, brain = slices
    options = {**SCANNER, "field_share": 1.0, "gain_range": (0.0, 0.0)}
    seen = scanned(image, brain, torch.Generator().manual_seed(2), **options)
    assert (seen[~brain] == BACKGROUND).all() and (seen[brain] > BACKGROUND).all()
    assert not torch.allclose(seen, image, atol=0.1)
    assert float(as_signal(seen)[brain].mean() / as_signal(image)[brain].mean()) == pytest.approx(1, abs=0.02)


def test_another_contrast_is_a_power_of_the_signal(slices):
    image, brain = slices
    other = other_contrast(image, brain, share=1.0, gamma_range=(0.2, 0.2), gain_range=(0.0, 0.0))
    expected = as_signal(image)[brain] ** torch.exp(torch.tensor(0.2))
    assert torch.allclose(as_signal(other)[brain], expected, atol=1e-5) and (other[~brain] == BACKGROUND).all()


def test_small_lesions_are_small_and_in_the_brain(slices):
    image, brain = slices
    options = {**SMALL_LESIONS, "radius_range": (1.5, 3.0)}
    generator = torch.Generator().manual_seed(3)
    painted, where = paint_small_lesions(image, brain, generator, **{**options, "probability": 1.0})
    assert not (where & ~brain).any() and where.flatten(1).any(dim=1).all()
    assert float(where.sum() / brain.sum()) < 0.25
    assert float((painted - image)[where].mean()) > 0.3
    darker, where = paint_small_lesions(image, brain, generator, **{**options, "probability": 1.0, "dark_share": 1.0})
    assert float((darker - image)[where].mean()) < -0.3
    untouched, nowhere = paint_small_lesions(image, brain, generator, **{**options, "probability": 0.0})
    assert not nowhere.any() and torch.allclose(untouched, image)


def test_what_is_off_changes_nothing_and_draws_nothing(slices):
    image, brain = slices
    before = torch.get_rng_state()
    target, seen, where = Appearance()(image, brain)
    assert torch.equal(target, image) and torch.equal(seen, image) and not where.any()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_target_has_the_contrast_and_neither_field_nor_lesion(slices):
    image, brain = slices
    scanner = {**SCANNER, "field_share": 1.0}
    small = {**SMALL_LESIONS, "probability": 1.0}
    change = {"share": 1.0, "gamma_range": (0.2, 0.2), "gain_range": (0.0, 0.0)}
    target, seen, where = Appearance(None, small, scanner, change)(image, brain)
    assert torch.allclose(target, other_contrast(image, brain, **change))
    assert where.any() and (seen - target).abs()[brain & ~where].mean() > 0.05
