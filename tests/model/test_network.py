import json

import pytest
import torch

from bundle.model.network import ReconstructionUNet
from tests.networks import small_network


def test_published_size():
    with open("configs/published_size.json") as file:
        published = json.load(file)
    for channels in (1, 2):
        count = sum(p.numel() for p in ReconstructionUNet(2, channels, **published).parameters())
        assert 5.85e6 < count < 5.95e6


def test_starts_at_zero_and_learns():
    network = small_network(2, 2, channels=8, res_blocks=2)
    x = torch.randn(4, 2, 16, 16)
    assert torch.equal(network(x), torch.zeros(4, 1, 16, 16))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (network(x) - x[:, :1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_three_dimensions_and_odd_batches():
    network = small_network(3, 1, channel_multipliers=(1, 2, 2), attention_levels=(0, 0, 1)).eval()
    assert network(torch.randn(3, 1, 8, 12, 16)).shape == (3, 1, 8, 12, 16)


def test_levels_must_agree():
    with pytest.raises(ValueError, match="one entry for each level"):
        small_network(2, 1, attention_levels=(False,))
