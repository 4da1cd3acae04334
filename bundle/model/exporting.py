# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The networks as one file that needs none of this code."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.bundle import ckpt_export

from bundle.files import write_whole
from bundle.model.card import read_card


def export_torchscript(configs: Sequence[str], root: str, weights: str, target: str) -> str:
    """Write the networks of configs as TorchScript, with MONAI's own export.

    Args:
        configs: paths of the configs that define them.
        root: of the bundle.
        weights: a checkpoint of these networks; the modality on its card, where it has one, goes before the configs'.
        target: file to write (.ts).

    Returns:
        str: what was written.
    """
    card = read_card(torch.load(weights, map_location="cpu", weights_only=True))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.ts"
        ckpt_export(
            "network_def",
            filepath=str(whole),
            ckpt_file=weights,
            meta_file=str(Path(root) / "configs" / "metadata.json"),
            config_file=list(configs),
            **{name: card[name] for name in ("modality",) if name in card},
        )
        write_whole(Path(target), whole.read_bytes())
    return f"{target}: {Path(target).stat().st_size / 1e6:.1f} MB"
