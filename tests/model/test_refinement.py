import itertools

import pytest
import torch
from monai.networks.nets import UNet

from bundle.model.contrast import reconstruction_error
from bundle.model.frequency import high_frequency
from bundle.model.refinement import IterMaskNet, start_mask
from tests.flows import REFINEMENT


class Recorded(torch.nn.Module):
    """A network that answers with recorded reconstructions, finding each image by its high-frequency image."""

    def __init__(self, answers: torch.Tensor, detail: torch.Tensor) -> None:
        super().__init__()
        self.answers, self.detail, self.calls = answers, detail, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        which = torch.cdist(x[:, -1:].flatten(1), self.detail.flatten(1)).argmin(dim=1)
        self.calls += 1
        return (self.answers[self.calls - 1] if self.answers.ndim == 5 else self.answers)[which]


def refine(model: IterMaskNet, golden: dict, **arguments):
    image = golden["test/image"]
    with torch.no_grad():
        return model.refine(image, golden["test/brain_mask"], torch.arange(len(image)), **arguments)


def course(result, iterations: int) -> torch.Tensor:
    """The masks of all iterations, T x B x 1 x H x W, of a result."""
    return torch.stack([(result.hidden_iterations >= t) | result.mask for t in range(1, iterations + 1)])


def test_recorded_reconstructions_give_every_recorded_mask(golden):
    detail = high_frequency(golden["test/image"], 15)
    model = IterMaskNet(
        Recorded(golden["test/initial_reconstruction"], detail),
        Recorded(golden["test/refiner_outputs"], detail),
        **REFINEMENT,
    )
    model.threshold.copy_(golden["validation/threshold"])
    result = refine(model, golden, noise=golden["test/noise"])
    assert torch.equal(result.mask, golden["test/final_mask"])
    masks = course(result, len(golden["test/masks"]))
    for image, iterations in enumerate(result.iterations.tolist()):
        assert torch.equal(masks[:iterations, image], golden["test/masks"][:iterations, image])
        # it stopped there, and not an iteration earlier: the recorded masks say when
        sizes = golden["test/masks"][:, image].flatten(1).sum(dim=1).tolist()
        shrunk = [(before - after) / before for before, after in itertools.pairwise(sizes)]
        assert all(ratio >= 0.01 for ratio in shrunk[: iterations - 1])
        assert iterations == len(sizes) or shrunk[iterations - 1] < 0.01
    assert result.converged.all() and len(set(result.iterations.tolist())) > 1


def test_running_free_on_the_recorded_noise(golden, golden_model):
    initial = golden_model.initial(high_frequency(golden["test/image"], 15))
    assert torch.allclose(initial, golden["test/initial_reconstruction"], atol=1e-4)
    result = refine(golden_model, golden, noise=golden["test/noise"])
    assert (result.mask == golden["test/final_mask"]).float().mean() >= 0.995
    assert torch.allclose(result.reconstruction, golden["test/final_reconstruction"], atol=1e-4)


def test_an_image_alone_gives_what_it_gives_in_a_batch(golden, golden_model):
    together = refine(golden_model, golden)
    for i in range(4):
        alone = golden_model.refine(
            golden["test/image"][i : i + 1], golden["test/brain_mask"][i : i + 1], torch.tensor([i])
        )
        assert torch.equal(alone.mask[0], together.mask[i])
        assert torch.allclose(alone.reconstruction[0], together.reconstruction[i], atol=1e-4)


def test_images_that_wait_get_what_they_get_at_once(golden, golden_model):
    """Each image takes as many iterations as it needs, whoever shares the networks with it."""
    together = refine(golden_model, golden)
    assert len(set(together.iterations.tolist())) > 1
    sizes = []
    golden_model.refiner.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    for batch_size in (1, 3):
        sizes.clear()
        apart = refine(golden_model, golden, batch_size=batch_size)
        assert max(sizes) == batch_size and sum(sizes) == int(together.iterations.sum())
        for name in ("mask", "iterations", "converged", "hidden_iterations"):
            assert torch.equal(getattr(apart, name), getattr(together, name))
        assert torch.allclose(apart.reconstruction, together.reconstruction, atol=1e-4)


def test_torchscript_gives_the_same(golden, golden_model):
    scripted = torch.jit.script(golden_model)
    image = golden["test/image"]
    assert torch.equal(scripted(image), golden_model(image))
    as_volume = image.permute(1, 2, 3, 0)[None]
    assert torch.equal(scripted(as_volume), golden_model(as_volume))


def test_start_mask_takes_pixels_strictly_above_the_kth_value():
    error = torch.tensor([[[[5.0, 4, 3, 3, 1], [9, 9, 9, 9, 9]]]])
    brain = torch.tensor([[[[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]]]).bool()
    # k = 2: the second smallest is one of the two threes, and neither is above it
    assert start_mask(error, brain, 0.6).flatten().tolist() == [True, True] + [False] * 8
    assert start_mask(error, brain, 1.0).sum() == 5 and start_mask(error, brain, 0.0).sum() == 0


def test_the_direction_of_a_lesion():
    image, reconstruction = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])
    for contrast, expected in (("any", [4.0, 4, 0]), ("bright", [4.0, 0, 0]), ("dark", [0.0, 4, 0])):
        assert reconstruction_error(image, reconstruction, contrast).tolist() == expected
    with pytest.raises(ValueError, match="no such contrast"):
        IterMaskNet(torch.nn.Identity(), torch.nn.Identity(), **{**REFINEMENT, "contrast": "light"})
    with pytest.raises(ValueError, match="likelihood: no such score; give --score as one of intensity, probability"):
        IterMaskNet(torch.nn.Identity(), torch.nn.Identity(), **{**REFINEMENT, "score": "likelihood"})


def test_only_bright_pixels_stay_hidden(golden, golden_model):
    golden_model.contrast = "bright"
    result = refine(golden_model, golden)
    # the last mask was judged by the reconstruction before it: nearly all of it is brighter than the last one too
    brighter = (golden["test/image"] > result.reconstruction)[result.mask]
    assert result.mask.any() and brighter.float().mean() > 0.95


def test_the_initial_error_is_kept(golden, golden_model):
    brain = golden["test/brain_mask"]
    expected = (golden["test/image"] - golden["test/initial_reconstruction"]) ** 2 * brain
    assert torch.allclose(refine(golden_model, golden).initial_error, expected, atol=1e-3)
    assert not refine(golden_model, golden, start=brain).initial_error.any()


def test_hints_and_start_mask(golden, golden_model):
    brain = golden["test/brain_mask"]
    normal, abnormal = torch.zeros_like(brain), torch.zeros_like(brain)
    normal[..., :32], abnormal[..., 30:36, 40:44] = True, True
    result = refine(golden_model, golden, known_normal=normal, known_abnormal=abnormal)
    assert not (result.mask & normal).any() and (result.hidden_iterations[normal] == 0).all()
    assert result.mask[abnormal & brain & ~normal].all()
    start = golden["test/final_mask"]
    assert not (refine(golden_model, golden, start=start).mask & ~start).any()


def test_cap_is_reported(golden, golden_model):
    golden_model.max_iterations = 3
    result = refine(golden_model, golden)
    assert (result.iterations == 3).all() and not result.converged.any()


def test_nothing_is_unmasked_without_a_threshold(golden, golden_model):
    golden_model.threshold.fill_(float("nan"))
    result = refine(golden_model, golden)
    assert (result.iterations == 1).all()
    assert 0.55 < result.mask.sum() / golden["test/brain_mask"].sum() < 0.65


def test_any_two_networks_with_the_right_channels():
    networks = [UNet(2, channels, 1, channels=(8, 16), strides=(2,)) for channels in (1, 2)]
    model = IterMaskNet(*networks, **{**REFINEMENT, "radius": 4, "max_iterations": 4}).eval()
    model.threshold.fill_(0.5)
    image = torch.full((2, 1, 32, 32), -3.0)
    image[..., 8:24, 8:24] = torch.randn(2, 1, 16, 16)
    assert model(image).shape == (2, 2, 32, 32)
    assert {name.split(".")[0] for name in model.state_dict()} == {
        "initial",
        "refiner",
        "threshold",
        "lesion_threshold",
        "_extra_state",
    }


@pytest.mark.parametrize("iterations", [1, 3])
def test_one_synchronisation_an_iteration(golden, golden_model, iterations, monkeypatch):
    """Only the stop test may ask the device for values: ``nonzero`` is the one call that does, once an iteration."""
    calls = []
    for name in ("nonzero", "item", "tolist", "__bool__", "cpu"):
        original = getattr(torch.Tensor, name)

        def spy(*args, _name=name, _original=original, **kwargs):
            calls.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, spy)
    golden_model.max_iterations = iterations
    refine(golden_model, golden)
    assert calls == ["nonzero"] * iterations


def test_three_dimensions():
    networks = [UNet(3, channels, 1, channels=(4, 8), strides=(2,)) for channels in (1, 2)]
    model = IterMaskNet(*networks, **{**REFINEMENT, "radius": 3, "max_iterations": 3}).eval()
    model.threshold.fill_(0.5)
    image = torch.full((1, 1, 16, 16, 16), -3.0)
    image[:, :, 4:12, 4:12, 4:12] = torch.randn(8, 8, 8)
    result = model.refine(image, image > -3, torch.tensor([0]))
    assert result.mask.shape == image.shape and result.mask.any()


class Wide(torch.nn.Module):
    """A judge that says a logit of a hundredth of the rows that it sees, and keeps what it saw."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return torch.full_like(x[:, :1], x.shape[2] / 100)


def test_the_judge_looks_at_several_scales_and_square_roots_are_averaged():
    judge = Wide()
    model = IterMaskNet(Wide(), Wide(), judge=judge, **{**REFINEMENT, "judge_scales": [1.0, 1.5]})
    image = torch.full((2, 1, 32, 48), 0.7)
    found = model.lesion_probability(image, -image)
    # one and a half times 32 x 48 are 48 x 72; the sides become multiples of 16, with background behind
    assert judge.seen.shape == (2, 2, 48, 80)
    assert torch.allclose(judge.seen[0, :, 5, 5], torch.tensor([0.7, -0.7]))
    assert (judge.seen[..., 72:] == -3).all()
    expected = torch.tensor([0.32, 0.48]).sigmoid().sqrt().mean().square()
    assert found.shape == image.shape and torch.allclose(found, expected)


def test_what_the_judge_sees_at_another_scale_comes_back_to_its_place():
    model = IterMaskNet(Wide(), Wide(), judge=Last(), **{**REFINEMENT, "judge_scales": [1.5]})
    image = torch.full((1, 1, 32, 32), -3.0)
    image[..., 8:16, 20:24] = 3.0
    found = model.lesion_probability(image, image)
    inside = torch.zeros_like(image, dtype=torch.bool)
    inside[..., 9:15, 21:23] = True
    beside = torch.nn.functional.max_pool2d((image > 0).float(), 5, 1, 2) > 0
    assert found[inside].min() > 0.9 and found[~beside].max() < 0.05


class Last(torch.nn.Module):
    """A judge whose logit is what it sees last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, -1:]
