# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Both networks trained at once, and their loss (paper section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.model.refinement import IterMaskNet


class ReconstructionPair(nn.Module):
    """Both networks of a model as one module, so that one forward pass (and one DDP wrapper) trains both.

    Args:
        model: of both.
    """

    def __init__(self, model: IterMaskNet) -> None:
        super().__init__()
        self.initial = model.initial
        self.refiner = model.refiner

    def forward(self, inputs: Tensor) -> Tensor:
        """From B x 2 x H x W (visible image, high-frequency image) to B x 2 x H x W (initial network's, refiner's)."""
        return torch.cat([self.initial(inputs[:, 1:]), self.refiner(inputs)], dim=1)


class ReconstructionLoss(nn.Module):
    """Mean squared error of both reconstructions over the whole image (paper section 2.3)."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        return (pred - label[:, :1]).square().mean()
