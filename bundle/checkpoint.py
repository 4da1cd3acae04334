# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Model checkpoints: loading ours with clear words, and converting those of the authors' program."""

from __future__ import annotations

import re
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader
from torch import Tensor, nn

from bundle.errors import InputError

# names in a state dict that belong to the judge
JUDGE = ("judge.", "lesion_threshold")


class ModelLoader(CheckpointLoader):
    """MONAI's ``CheckpointLoader`` for one model, which says in one sentence why a file is not its checkpoint.

    Args:
        load_path: a bare state dict.
        model: an :py:class:`bundle.refinement.IterMaskNet`.
        calibrated: whether a checkpoint without a threshold is refused.
        to_train: whether a training starts from it: a judge may then be missing in the checkpoint, and the threshold of
            the judge, which is to be calibrated after the training, is forgotten.

    A model without a judge leaves that of the checkpoint alone.

    Raises:
        InputError: when the run starts with a file that is missing, unreadable, foreign or not calibrated.
    """

    def __init__(self, load_path: str, model: nn.Module, calibrated: bool = True, to_train: bool = False) -> None:
        strict = model.judge is not None and not to_train
        super().__init__(load_path, {"model": model}, map_location="cpu", strict=strict)
        self.model = model
        self.calibrated = calibrated
        self.to_train = to_train

    def __call__(self, engine: Engine) -> None:
        try:
            state = torch.load(self.load_path, map_location="cpu", weights_only=True)
            saved, needed = (
                {name for name in of if not name.startswith(JUDGE)} for of in (state, self.model.state_dict())
            )
            if saved != needed:
                raise ValueError(f"not in both: {', '.join(sorted(saved ^ needed))}")
            judged = any(name.startswith("judge.") for name in state)
            if judged or not self.strict:
                super().__call__(engine)
        except FileNotFoundError as error:
            raise InputError(f"{self.load_path}: no such file; give the path of a checkpoint.") from error
        except Exception as error:
            raise InputError(
                f"{self.load_path}: not a checkpoint of this network (unreadable, of another program, or of another "
                "size: --channels, --channel_multipliers, --attention_levels and --res_blocks must be those of its "
                "training); give another one."
            ) from error
        if self.strict and not judged:
            raise InputError(
                f"{self.load_path}: the checkpoint has no judge; train one with configs/judge.json, or give --method "
                "refined (or published, for a model of that method) to go without."
            )
        if self.to_train:
            with torch.no_grad():
                self.model.lesion_threshold.fill_(torch.nan)
            if judged and self.model.judge is None:
                engine.logger.warning(
                    f"{self.load_path}: its judge is left out; train one anew with configs/judge.json afterwards, or "
                    "keep it by --network_def#judge %judge_def."
                )
        if self.calibrated and bool(torch.isnan(self.model.threshold)):
            raise InputError(
                f"{self.load_path}: the checkpoint has no threshold; calibrate it on healthy scans with "
                "configs/calibrate.json first."
            )


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
        tuple: the state dict of a :py:class:`bundle.network.ReconstructionUNet`, and the arguments to construct it.

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
    }
    return converted, arguments
