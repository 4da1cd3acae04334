import torch
from scipy import stats

from bundle.model.noise import addressed_noise


def test_depends_on_address_only():
    like = torch.empty(3, 1, 8, 8)
    seeds = torch.tensor([4, 9, 2])
    together = addressed_noise(seeds, 5, like)
    for i, seed in enumerate(seeds):
        assert torch.equal(together[i : i + 1], addressed_noise(seed[None], 5, like[:1]))
    assert not torch.equal(together, addressed_noise(seeds, 6, like))
    # each image can be at an iteration of its own
    apart = addressed_noise(seeds, torch.tensor([5, 6, 5])[: len(seeds)], like)
    assert torch.equal(apart[0], together[0]) and torch.equal(apart[1], addressed_noise(seeds, 6, like)[1])


def test_is_standard_normal_and_uncorrelated():
    noise = addressed_noise(torch.arange(16), 0, torch.empty(16, 1, 64, 64))
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 0.01
    correlation = torch.corrcoef(noise.flatten(1)) - torch.eye(16)
    assert correlation.abs().max() < 5 / 64
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean()
    steps = (noise * addressed_noise(torch.arange(16), 1, noise)).mean()
    assert abs(neighbours) < 0.02 and abs(steps) < 0.02
