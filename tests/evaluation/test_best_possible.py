import torch

from bundle.evaluation import best_possible_dice


def test_the_best_possible_mask_is_the_best_of_many(golden, golden_model):
    image, lesion = golden["test/image"][:2], golden["test/lesion"][:2]
    with torch.no_grad():
        whole = best_possible_dice(golden_model, image, lesion, fractions=(0.9, 0.6), step=0.2, last=1.0)
        parts = [
            best_possible_dice(golden_model, image, lesion, fractions=(fraction,), step=0.2, last=1.0)
            for fraction in (0.9, 0.6)
        ]
        shorter = best_possible_dice(golden_model, image, lesion, fractions=(0.9, 0.6), step=0.2, last=0.4)
        healthy = best_possible_dice(
            golden_model, image, torch.zeros_like(lesion), fractions=(0.9,), step=0.5, last=1.0
        )
    assert healthy.isnan().all()
    assert torch.equal(whole, torch.maximum(*parts))
    assert (whole >= shorter).all() and (whole > shorter).any() and (whole <= 1).all()
