# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Weights as they ship, and weights of the authors' program as this bundle's."""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import torch

from bundle.errors import InputError
from bundle.files import write_whole
from bundle.model.authors_checkpoint import convert_reference_state
from bundle.model.card import is_judged

# what keeps all its digits
EXACT = ("running_mean", "running_var", "num_batches_tracked", "threshold", "_extra_state")


def _write(state: dict[str, torch.Tensor], target: str) -> int:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(Path(target), buffer.getvalue())
    return len(buffer.getvalue())


def publish(source: str, target: str) -> str:
    """Check a checkpoint, and write it in half precision.

    The statistics of normalisation layers and the thresholds keep all their digits.

    Args:
        source: checkpoint that a training or a calibration has written.
        target: file to write.

    Returns:
        str: what was written.

    Raises:
        InputError: when the checkpoint is not one, is not calibrated, or holds a number that is not finite.
    """
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
        threshold = float(state["threshold"])
        stored = {name: value if name.endswith(EXACT) else value.half() for name, value in state.items()}
    except Exception as error:
        raise InputError(f"{source}: not a checkpoint of this bundle; give the model.pt of a training.") from error
    lowest = float(state.get("lesion_threshold", 0.0))
    judged = is_judged(state)
    if not 0 < threshold < math.inf or (judged and not 0 < lowest < math.inf):
        raise InputError(f"{source}: the checkpoint has no threshold; calibrate it first (itermask2 calibrate).")
    broken = [name for name, v in stored.items() if not name.endswith("threshold") and not torch.isfinite(v).all()]
    if broken:
        raise InputError(
            f"{source}: {len(broken)} of its tensors, {broken[0]} the first, hold numbers that are not finite in half "
            "precision; train again, from a checkpoint that is whole."
        )
    size = _write(stored, target)
    parameters = sum(value.numel() for name, value in stored.items() if not name.endswith(EXACT))
    return f"{target}: {parameters:,} parameters, {size / 1e6:.1f} MB, threshold {threshold:.4g}"


def _read(path: str, channels: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    role = "initial network" if channels == 1 else "refiner"
    try:
        state, arguments = convert_reference_state(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give the checkpoint of the {role}.") from error
    except (ValueError, KeyError, RuntimeError, EOFError, OSError, AttributeError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a checkpoint of the authors' program; give the state dict that it saves for the {role}."
        ) from error
    if arguments["in_channels"] != channels:
        raise InputError(
            f"{path}: a network with {arguments['in_channels']} input channels, but the {role} has {channels}; "
            "give the initial network first and the refiner second."
        )
    return state, arguments


def convert(initial: str, refiner: str, target: str, threshold: float = math.nan) -> dict[str, Any]:
    """Turn two checkpoints of the authors' program into one of this bundle.

    Args:
        initial: checkpoint of the initial network.
        refiner: checkpoint of the refiner.
        target: file to write.
        threshold: of the squared error, where it is known; without one, calibrate the result on healthy scans.

    Returns:
        dict: the sizes of the networks, as keys of the configs.

    Raises:
        InputError: when a file is not such a checkpoint.
    """
    states, arguments = zip(_read(initial, 1), _read(refiner, 2))
    model = {f"{name}.{key}": v for name, state in zip(("initial", "refiner"), states) for key, v in state.items()}
    model |= {"threshold": torch.tensor(float(threshold)), "lesion_threshold": torch.tensor(math.nan)}
    _write(model, target)
    return {name: arguments[1][name] for name in ("channels", "channel_multipliers", "attention_levels", "res_blocks")}
