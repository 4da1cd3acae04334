# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The networks as a CPU runs them fastest: normalisations folded, channels last, bfloat16 if wished."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import InputError
from bundle.model.network import ReconstructionUNet, ResidualBlock, SelfAttention

PRECISIONS = ("auto", "float32", "bfloat16")


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 itself; where it does not, bfloat16 is many times slower."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def cpu_dtype(precision: str) -> torch.dtype:
    """The number format of the networks on a CPU.

    Args:
        precision: one of ``PRECISIONS``; "auto" is bfloat16 where the processor has it, else float32.

    Raises:
        InputError: when it is none of these.
    """
    if precision not in PRECISIONS:
        raise InputError(f"{precision}: no such precision; give --cpu_precision as one of {', '.join(PRECISIONS)}.")
    if precision == "auto":
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def number_format(device: torch.device | str, amp: bool, cpu_precision: str) -> str:
    """The number format in which a run computes its networks: "float32" or "bfloat16".

    Args:
        device: that computes them.
        amp: whether it does so in half precision.
        cpu_precision: of a CPU, see :py:func:`cpu_dtype`.
    """
    dtype = cpu_dtype(cpu_precision) if torch.device(device).type == "cpu" else torch.float32
    return str(torch.bfloat16 if amp else dtype).removeprefix("torch.")


def _scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """What a BatchNorm does in evaluation: per channel, a factor and a summand."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    # its own random start would change the random numbers of others
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(values.clone(), requires_grad=False) for values in (weight, bias))
    return layer


class FoldedBlock(nn.Module):
    """A :py:class:`bundle.model.network.ResidualBlock` for inference: its second normalisation is in its convolution.

    Args:
        block: that it does the work of.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(block.norm2)
        self.norm1, self.conv1, self.conv2, self.skip, self.resample = (
            copy.deepcopy(part) for part in (block.norm1, block.conv1, block.conv2, block.skip, block.resample)
        )
        self.conv1.weight.mul_(scale.reshape(-1, *[1] * (self.conv1.weight.ndim - 1)))
        self.conv1.bias.mul_(scale).add_(shift)

    def forward(self, x: Tensor) -> Tensor:
        h = self.resample(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.conv1(h), inplace=True))
        return h.add_(self.skip(self.resample(x)))


class FoldedAttention(nn.Module):
    """A :py:class:`bundle.model.network.SelfAttention` for inference: as matrix products of channels that lie last.

    Args:
        attention: that it does the work of.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(attention.norm)
        weight = attention.qkv.weight[..., 0]
        self.qkv = _linear(weight * scale, attention.qkv.bias + weight @ shift)
        self.project = _linear(attention.project.weight[..., 0], attention.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        positions = last.flatten(1, -2)
        q, k, v = self.qkv(positions).unsqueeze(1).chunk(3, dim=3)
        attended = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        return (positions + self.project(attended)).reshape(last.shape).movedim(-1, 1)


class InferenceNetwork(nn.Module):
    """A network for inference on a CPU; the one that is given stays as it is.

    Float32 differs from the network itself by rounding (1e-5 of a reconstruction).

    Args:
        network: a :py:class:`bundle.model.network.ReconstructionUNet`; any other is run as it is, channels last.
        dtype: torch.float32, or torch.bfloat16; normalisations keep their float32 parameters.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        with torch.no_grad():
            self.network = _folded(network).eval()
        for module in self.network.modules():
            if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
        for parameter in self.network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """As that of the network; float32."""
        layout = torch.channels_last if x.ndim == 4 else torch.preserve_format
        return self.network(x.to(self.dtype, memory_format=layout)).float()


def _folded(network: nn.Module) -> nn.Module:
    """A copy whose blocks are folded."""
    if isinstance(network, ResidualBlock):
        return FoldedBlock(network)
    if isinstance(network, SelfAttention):
        return FoldedAttention(network)
    if not isinstance(network, (ReconstructionUNet, nn.Sequential, nn.ModuleList)):
        return copy.deepcopy(network)
    # a deep copy of the whole takes longer than all the folding
    folded = copy.copy(network)
    folded._modules = {name: _folded(child) for name, child in network.named_children()}
    return folded


# of each network that is in use: what it was made from, and the folded one
_made: WeakKeyDictionary[nn.Module, tuple[Any, InferenceNetwork]] = WeakKeyDictionary()


def _made_once(network: nn.Module, dtype: torch.dtype) -> InferenceNetwork:
    """The :py:class:`InferenceNetwork` of a network, made again when its weights have changed."""
    weights = chain(network.parameters(), network.buffers())
    made_from = dtype, [(w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights]
    earlier = _made.get(network)
    if earlier is None or earlier[0] != made_from:
        earlier = _made[network] = made_from, InferenceNetwork(network, dtype)
    return earlier[1]


def for_inference(model: nn.Module, dtype: torch.dtype) -> Any:
    """A model whose networks are :py:class:`InferenceNetwork`, and that shares all else with the one that is given.

    The networks are folded once, for all calls until their weights change.

    Args:
        model: a :py:class:`bundle.model.refinement.IterMaskNet`.
        dtype: see :py:class:`InferenceNetwork`.
    """
    quick = copy.copy(model)
    quick._modules = {
        name: None if network is None else _made_once(network, dtype) for name, network in model._modules.items()
    }
    return quick
