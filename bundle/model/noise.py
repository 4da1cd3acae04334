# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Gaussian noise that is a function of its address, so that no image depends on its neighbours in a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _scramble(x: Tensor) -> Tensor:
    """Map 32-bit integers, held in int64, to 32-bit integers that look random (a multiply-xorshift hash)."""
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def addressed_noise(seeds: Tensor, step: Tensor, like: Tensor) -> Tensor:
    """Draw N(0, 1) noise that depends on nothing but the seed, the step and the position.

    A generator hands out numbers in sequence: what an image gets depends on who was served before it. Hashing the
    address of each value instead gives every image the same noise alone and in any batch, on any device, in any
    order, without a loop over images.

    Args:
        seeds: one integer an image, shape B, int64.
        step: the iteration of each image, shape B, int64; or of all.
        like: images whose shape (B x ...) and device the noise takes.

    Returns:
        Tensor: float32, the shape of ``like``.
    """
    positions = torch.arange(like[0].numel(), device=like.device)
    streams = _scramble(_scramble(seeds.to(like.device)) + 0x9E3779B9 * (step + 1))
    first = _scramble(streams[:, None] ^ _scramble(2 * positions))
    second = _scramble(streams[:, None] + _scramble(2 * positions + 1))
    # Box-Muller; the half keeps the logarithm away from zero
    radius = torch.sqrt(-2.0 * torch.log((first.double() + 0.5) / 2.0**32))
    angle = (2.0 * math.pi) * (second.double() / 2.0**32)
    return (radius * torch.cos(angle)).float().reshape(like.shape)
