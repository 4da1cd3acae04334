"""What several contrasts say together."""

import pytest
import torch

from bundle.errors import InputError
from bundle.model import (
    ContrastNetworks,
    IterativeMaskInferer,
    IterMaskNet,
    ReconstructionUNet,
    TogetherInferer,
    lesion_contrast,
    together,
)
from bundle.preprocessing.intensities import BACKGROUND
from tests.flows import REFINEMENT
from tests.networks import small_network

SHARES = {"flair": 1.0, "t1": 0.5}
SCALES = {"intensity": [1.0, 1.25], "probability": [1.0]}


def network(judge: bool = True) -> IterMaskNet:
    def part(channels: int) -> ReconstructionUNet:
        return small_network(2, channels, attention_levels=[False, False])

    torch.manual_seed(0)
    settings = {**REFINEMENT, "radius": 4.0, "max_iterations": 3}
    card = {"modality": "flair", "contrast": "bright", "score": "intensity"}
    model = IterMaskNet(part(1), part(2), judge=part(2) if judge else None, card=card, **settings)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.threshold.fill_(0.5)
    model.lesion_threshold.fill_(0.1)
    return model.eval()


def volume(seed: int) -> torch.Tensor:
    image = torch.full((1, 1, 16, 16, 3), BACKGROUND)
    image[:, :, 3:13, 3:13] = torch.randn(1, 1, 10, 10, 3, generator=torch.Generator().manual_seed(seed))
    return image


def test_log_odds_are_averaged_by_share_where_a_contrast_shows_tissue():
    probabilities = {"flair": torch.tensor([0.9, 0.9, 0.9]), "t1": torch.tensor([0.5, 0.5, 0.5])}
    seen = {"flair": torch.tensor([True, True, False]), "t1": torch.tensor([True, False, False])}
    # odds of 9 to the power of two thirds
    odds = 9 ** (1 / 1.5)
    assert torch.allclose(together(probabilities, seen, SHARES, 1e-4), torch.tensor([odds / (1 + odds), 0.9, 0.0]))


def test_no_judge_decides_alone():
    sure = {"flair": torch.tensor([0.9]), "t1": torch.tensor([0.0])}
    seen = dict.fromkeys(sure, torch.tensor([True]))
    # odds of 9 and of 1 to 9, the latter at half weight
    assert together(sure, seen, SHARES, 0.1).item() == pytest.approx(9 ** (1 / 3) / (1 + 9 ** (1 / 3)))


def test_each_contrast_has_its_own_model():
    models = ContrastNetworks(network(), SCALES, "flair", {"flair": "", "t1": ""})
    assert models.lead is models.networks["flair"]
    t1 = models.networks["t1"]
    assert t1.contrast == lesion_contrast("t1") and t1.card == {
        "modality": "t1",
        "contrast": "dark",
        "score": "probability",
    }
    assert models.lead.card["score"] == "intensity"
    assert (models.lead.judge_scales, t1.judge_scales) == ([1.0, 1.25], [1.0])
    with pytest.raises(InputError, match="--modality t2: there are no weights"):
        ContrastNetworks(network(), SCALES, "t2", {"flair": ""})
    with pytest.raises(InputError, match="need the judges"):
        ContrastNetworks(network(judge=False), SCALES, "flair", {"flair": ""})


def test_one_contrast_gives_what_it_gives_alone_and_two_are_averaged():
    single = network()
    single.contrast = "bright"
    models = ContrastNetworks(single, SCALES, "flair", {"flair": "", "t1": ""})
    # another judge for T1, of higher probabilities
    torch.nn.init.constant_([*models.networks["t1"].judge.parameters()][-1], 3.0)
    search, image, other = IterativeMaskInferer(4, 0, 4, "float32"), volume(1), volume(2)
    inferer = TogetherInferer(search, search, SHARES, 1e-4)
    other[..., :8, :, :] = BACKGROUND
    with torch.no_grad():
        alone = search(image, single)
        same = inferer(image, models, contrasts={})
        both = inferer(image, models, contrasts={"t1": other})
        flair, t1 = (
            search(one, models.networks[name])["probability"] for name, one in (("flair", image), ("t1", other))
        )
    assert torch.equal(same["score"], alone["score"]) and "joint_probability" not in same
    seen = {"flair": image > BACKGROUND, "t1": other > BACKGROUND}
    expected = together({"flair": flair, "t1": t1}, seen, SHARES, 1e-4)
    assert torch.allclose(both["joint_probability"], expected) and not torch.allclose(expected, flair, atol=1e-3)
    assert torch.allclose(both["joint_probability"][..., :8, :, :], flair[..., :8, :, :], atol=1e-3)
    # the leading contrast decides by its own score, see SurestMaskd
    assert torch.equal(both["score"], alone["score"])


def test_the_joint_probability_is_the_score_where_that_is_a_probability():
    models = ContrastNetworks(network(), SCALES, "t1", {"t1": "", "t1ce": ""})
    models.lead.score = "probability"
    search = IterativeMaskInferer(4, 0, 4, "float32")
    with torch.no_grad():
        found = TogetherInferer(search, search, {"t1": 1.0, "t1ce": 1.0}, 1e-4)(
            volume(1), models, contrasts={"t1ce": volume(2)}
        )
    assert torch.equal(found["score"], found["joint_probability"])
    assert not torch.allclose(found["score"], found["probability"], atol=1e-4)
