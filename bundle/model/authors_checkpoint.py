# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Converting the checkpoints of the authors' program."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

# how the modules of the authors' program are called here
_NAMES = (
    (r"^input_blocks\.", "encoder."),
    (r"^middle_block\.", "middle."),
    (r"^output_blocks\.", "decoder."),
    (r"\.in_layers\.0\.", ".norm1."),
    (r"\.in_layers\.2\.", ".conv1."),
    (r"\.out_layers\.0\.", ".norm2."),
    (r"\.out_layers\.3\.", ".conv2."),
    (r"\.skip_connection\.", ".skip."),
    (r"\.proj_out\.", ".project."),
)


def convert_reference_state(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Convert the state dict of one network of the authors' program.

    Its time embedding and per-block embedding layers are never used and are dropped.

    Args:
        state: the authors' state dict.

    Returns:
        tuple: the state dict of a :py:class:`bundle.model.network.ReconstructionUNet`, and the arguments to construct
        it.

    Raises:
        ValueError: when the state dict is not in the authors' layout.
    """
    stem = state.get("input_blocks.0.0.weight") if isinstance(state, dict) else None
    if not isinstance(stem, Tensor) or "out.2.weight" not in state:
        raise ValueError("not in the layout of the authors' program")
    converted = {}
    for name, value in state.items():
        if name.startswith("time_embed.") or ".emb_layers." in name:
            continue
        for theirs, ours in _NAMES:
            name = re.sub(theirs, ours, name)
        converted[name] = value

    # a block that halves the size closes each level but the last: its width does not change and nothing follows it
    channels = int(stem.shape[0])
    blocks = sorted({int(name.split(".")[1]) for name in converted if re.match(r"encoder\.[1-9]", name)})
    res_blocks = 2
    levels = (len(blocks) + 1) // (res_blocks + 1)
    first = [1 + level * (res_blocks + 1) for level in range(levels)]
    arguments = {
        "spatial_dims": stem.ndim - 2,
        "in_channels": int(stem.shape[1]),
        "out_channels": int(state["out.2.weight"].shape[0]),
        "channels": channels,
        "channel_multipliers": [int(converted[f"encoder.{i}.0.conv2.weight"].shape[0]) // channels for i in first],
        "attention_levels": [f"encoder.{i}.1.qkv.weight" in converted for i in first],
        "res_blocks": res_blocks,
        # of training alone, and no part of the state
        "dropout": 0.1,
    }
    return converted, arguments
