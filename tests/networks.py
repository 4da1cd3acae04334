"""Networks small enough for a test, as they begin."""

from __future__ import annotations

from typing import Any

from bundle.model.network import ReconstructionUNet


def small_network(spatial_dims: int, in_channels: int, **sizes: Any) -> ReconstructionUNet:
    """Two levels of 4 and 8 channels, one block each, attention in the second; ``sizes`` say what is otherwise."""
    small = {"channels": 4, "channel_multipliers": (1, 2), "attention_levels": (False, True), "res_blocks": 1}
    return ReconstructionUNet(spatial_dims, in_channels, **{"dropout": 0.0, **small, **sizes})
