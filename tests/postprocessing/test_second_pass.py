import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.postprocessing.second_pass import COIL_FIELD, FieldFreeInferer, TakeFieldOutd, without_field
from bundle.postprocessing.to_scan import RestoreIntensityd
from bundle.preprocessing.intensities import BACKGROUND

FIELD = {"mm": 4.0, "levels": 2, "iterations": 20, "rough_mm": 8.0, "rough_share": 0.9}


def scan() -> MetaTensor:
    """A ball of two tissues in a field, one bright square in it; a batch of one."""
    x, y, z = np.ogrid[-20:20, -20:20, -8:8]
    brain = x**2 + y**2 + (2 * z) ** 2 < 18**2
    signal = np.where((x // 4 + y // 4 + z // 2) % 2, 0.7, 0.9) * np.exp(0.5 * x / 20.0)
    signal[24:34, 14:26] *= 1.8
    normalised = np.where(brain, 6 * signal + BACKGROUND, BACKGROUND)
    affine = torch.diag(torch.tensor([2.0, 2.0, 4.0, 1.0]))[None]
    return MetaTensor(torch.from_numpy(normalised).float()[None, None], affine=affine)


def searched(
    correction: str, judged: bool = True, fade_spread: tuple = (0.05, 0.1), lowest: float = 1.0
) -> tuple[list[torch.Tensor], dict]:
    """What an inferer is given, and what it finds at last; it scores the bright square alone, at 2."""
    seen = []

    def inferer(inputs, network):
        seen.append(torch.as_tensor(inputs))
        score = torch.zeros_like(seen[-1])
        score[:, :, 24:34, 14:26] = 2.0
        figures = {"seconds": torch.ones(1), "lesion_threshold": torch.full((1,), lowest)}
        found = {"refined_mask": torch.zeros_like(score), "refinement": figures}
        return {**found, "score": score} if judged else found

    def volume_score(case):
        assert case["score"].shape == case["image"].shape
        return {**case, "score": case["score"] / 1.1}

    inferer_without_field = FieldFreeInferer(
        inferer, correction, volume_score, {**FIELD, "fade_spread": fade_spread}, 90.0
    )
    return seen, inferer_without_field(scan(), None)


def slope(image: torch.Tensor) -> float:
    """How the signal rises along x, away from the square: logarithm per half of the ball."""
    line = ((image[0, 0, 8:32, 4:10, 6:10] - BACKGROUND) / 6).mean(dim=(1, 2)).log()
    return float(np.polyfit(np.linspace(-0.6, 0.6, 24), line.numpy(), 1)[0])


def test_the_second_search_sees_no_field_and_the_lesion_as_it_is():
    seen, found = searched("two_pass")
    assert len(seen) == 2 and slope(seen[0]) > 0.5 and abs(slope(seen[1])) < 0.2
    signal = (seen[1][0, 0] - BACKGROUND) / 6
    brain = seen[1][0, 0] > BACKGROUND
    assert np.percentile(signal[brain], 90) == pytest.approx(1, abs=0.01)
    assert torch.equal(brain, seen[0][0, 0] > BACKGROUND)
    # the square stays brighter than what lies opposite, by what it was brighter
    ratio = signal[24:34, 14:26, 6:10].mean() / signal[24:34, 30:34, 6:10].mean()
    assert ratio == pytest.approx(1.8, rel=0.1)
    assert found["refinement"]["seconds"] == 2 and found[COIL_FIELD].shape == seen[0].shape


def test_at_once_without_or_without_a_judge():
    seen, found = searched("n4")
    assert len(seen) == 1 and slope(seen[0]) < 0.3 and COIL_FIELD in found
    for correction, judged in (("none", True), ("two_pass", False)):
        seen, found = searched(correction, judged)
        assert len(seen) == 1 and torch.equal(seen[0], torch.as_tensor(scan())) and COIL_FIELD not in found


def test_n4_does_not_see_what_scores_above_the_lowest_threshold(monkeypatch):
    looked_at = []

    def coil_field(signal, brain, used, spacing, **numbers):
        looked_at.append(used)
        return np.ones_like(signal)

    monkeypatch.setattr("bundle.postprocessing.second_pass.coil_field", coil_field)
    brain = (scan()[0, 0] > BACKGROUND).numpy()
    square = np.zeros_like(brain)
    square[24:34, 14:26] = True
    # the score of the volume, 2 / 1.1, counts
    for lowest, seen in ((1.8, brain & ~square), (1.9, brain)):
        searched("two_pass", lowest=lowest)
        assert (looked_at[-1] == seen).all()
    assert (brain & square).sum() > 1000


def test_a_weak_field_is_left_alone():
    whole = searched("two_pass")[1][COIL_FIELD]
    brain = scan().as_tensor() > BACKGROUND
    spread = float(torch.as_tensor(whole)[brain].log().std())
    seen, found = searched("two_pass", fade_spread=(1.01 * spread, 2 * spread))
    assert spread > 0.1 and len(seen) == 1 and COIL_FIELD not in found
    half = searched("two_pass", fade_spread=(0.5 * spread, 1.5 * spread))[1][COIL_FIELD]
    assert float(torch.as_tensor(half)[brain].log().std()) == pytest.approx(spread / 2, rel=0.02)
    # what is asked for at once is done
    assert COIL_FIELD in searched("n4", fade_spread=(10.0, 20.0))[1]


def test_the_reconstruction_has_the_intensities_of_the_scan_again():
    image = MetaTensor(scan()[0].as_tensor(), affine=scan().affine[0])
    image.meta["intensity_high"] = 300.0
    field = torch.exp(0.1 * torch.arange(16.0)).expand(image.shape)
    data = TakeFieldOutd("image")({"image": image, COIL_FIELD: field, "refinement": {}})
    assert torch.allclose(data["image"].as_tensor(), without_field(image.as_tensor(), field))
    brain = image.as_tensor() > BACKGROUND
    assert data["refinement"]["coil_field_spread"] == pytest.approx(float(field[brain].log().std()))
    given = RestoreIntensityd("reconstruction")({**data, "reconstruction": data["image"].clone()})["reconstruction"]
    assert torch.allclose(given[brain], ((image.as_tensor() - BACKGROUND) * 50)[brain], rtol=1e-3, atol=0.1)
    assert (given[~brain] == 0).all()


def test_a_field_that_is_weak_in_coarse_voxels_is_not_looked_for(monkeypatch):
    looked = []

    def coil_field(signal, brain, used, spacing, mm, **numbers):
        looked.append(mm)
        return np.exp(np.where(brain, np.linspace(-1, 1, signal.shape[0])[:, None, None], 0)).astype(np.float32)

    monkeypatch.setattr("bundle.postprocessing.second_pass.coil_field", coil_field)
    spread = float(np.log(coil_field(*[(scan()[0, 0] > BACKGROUND).numpy()] * 2, None, None, 0)).std())
    looked.clear()
    assert COIL_FIELD in searched("two_pass", fade_spread=(spread, 1.1 * spread))[1] and looked == [8.0, 4.0]
    looked.clear()
    assert COIL_FIELD not in searched("two_pass", fade_spread=(2 * spread, 3 * spread))[1] and looked == [8.0]
