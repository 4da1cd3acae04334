# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The residual U-Net with self-attention that reconstructs lesion-free anatomy (paper section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, Dropout, Norm, Pool
from torch import Tensor, nn
from torch.nn import functional as F


def _zero(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResidualBlock(nn.Module):
    """Two convolutions, each after BatchNorm and SiLU, beside a skip connection; optionally halves or doubles the size.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        dropout: probability of dropping a value before the second convolution.
        resample: "none", "down" (average pooling by 2) or "up" (nearest by 2).
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, dropout: float, resample: str = "none"
    ) -> None:
        super().__init__()
        conv, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.BATCH, spatial_dims]
        self.norm1 = norm(in_channels)
        self.conv1 = conv(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = norm(out_channels)
        self.dropout = Dropout[Dropout.DROPOUT, 1](dropout)
        # zero: at the start of training every block is its own skip connection
        self.conv2 = _zero(conv(out_channels, out_channels, kernel_size=3, padding=1))
        self.skip = nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, kernel_size=1)
        if resample == "down":
            self.resample: nn.Module = Pool[Pool.AVG, spatial_dims](kernel_size=2, stride=2)
        elif resample == "up":
            self.resample = nn.Upsample(scale_factor=2.0, mode="nearest")
        else:
            self.resample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.skip(self.resample(x)) + h


class SelfAttention(nn.Module):
    """One-head self-attention between all positions of an image, beside a skip connection.

    Args:
        channels: channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, kernel_size=1)
        self.project = _zero(nn.Conv1d(channels, channels, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        positions = x.flatten(2)
        # B x 1 head x positions x channels, channels contiguous: the layout that the fused kernels accept
        q, k, v = self.qkv(self.norm(positions)).transpose(1, 2).contiguous().unsqueeze(1).chunk(3, dim=3)
        attended = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        return (positions + self.project(attended)).reshape(x.shape)


class ReconstructionUNet(nn.Module):
    """Residual U-Net with self-attention, the architecture of both networks of IterMask2.

    Levels are half the size of the level before. ``configs/published_size.json`` gives the published network (5.9
    million parameters, 10.9 GFLOP for an image of 128 x 128).

    Args:
        spatial_dims: 2 or 3.
        in_channels: 1 for the initial network, 2 for the refiner.
        out_channels: channels of the reconstruction.
        channels: channels of the first level.
        channel_multipliers: channels of each level, as multiples of ``channels``.
        attention_levels: for each level, whether self-attention follows each of its blocks.
        res_blocks: residual blocks a level on the way down; one more is used on the way up.
        dropout: probability, within the residual blocks.

    Raises:
        ValueError: when ``attention_levels`` and ``channel_multipliers`` differ in length.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int = 1,
        *,
        channels: int,
        channel_multipliers: Sequence[int],
        attention_levels: Sequence[bool],
        res_blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if len(attention_levels) != len(channel_multipliers):
            raise ValueError(
                f"attention_levels ({len(attention_levels)}) and channel_multipliers ({len(channel_multipliers)}) "
                "must have one entry for each level."
            )

        def block(in_channels: int, out_channels: int, resample: str = "none") -> ResidualBlock:
            return ResidualBlock(spatial_dims, in_channels, out_channels, dropout, resample)

        conv = Conv[Conv.CONV, spatial_dims]
        levels = [channels * multiplier for multiplier in channel_multipliers]
        last = len(levels) - 1

        self.encoder = nn.ModuleList([nn.Sequential(conv(in_channels, levels[0], kernel_size=3, padding=1))])
        skips = [levels[0]]
        width = levels[0]
        for level, level_channels in enumerate(levels):
            for _ in range(res_blocks):
                stage: list[nn.Module] = [block(width, level_channels)]
                if attention_levels[level]:
                    stage.append(SelfAttention(level_channels))
                self.encoder.append(nn.Sequential(*stage))
                width = level_channels
                skips.append(width)
            if level != last:
                self.encoder.append(nn.Sequential(block(width, width, "down")))
                skips.append(width)

        self.middle = nn.Sequential(block(width, width), SelfAttention(width), block(width, width))

        self.decoder = nn.ModuleList()
        for level, level_channels in reversed(list(enumerate(levels))):
            for i in range(res_blocks + 1):
                stage = [block(width + skips.pop(), level_channels)]
                width = level_channels
                if attention_levels[level]:
                    stage.append(SelfAttention(width))
                if level != 0 and i == res_blocks:
                    stage.append(block(width, width, "up"))
                self.decoder.append(nn.Sequential(*stage))

        self.out = nn.Sequential(
            Norm[Norm.BATCH, spatial_dims](width),
            nn.SiLU(),
            _zero(conv(width, out_channels, kernel_size=3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct an image.

        Args:
            x: B x in_channels x H x W (or D x H x W), each size divisible by 2 ** (levels - 1).

        Returns:
            Tensor: B x out_channels, the size of ``x``.
        """
        skips = [torch.empty(0)]
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.middle(x)
        for stage in self.decoder:
            x = stage(torch.cat([x, skips.pop()], dim=1))
        return self.out(x)
