# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The card of a checkpoint: for which images its weights are. It lies in the state dict and goes with the file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# where PyTorch keeps what a module adds to its state dict
CARD = "_extra_state"


def card_tensor(card: Mapping[str, Any]) -> Tensor:
    """A card as uint8, the bytes of its JSON: loading a state dict of tensors runs no code.

    Numbers are written as floating-point ones, so that the same setting gives the same card however it was typed.
    """
    plain = {name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for name, v in card.items()}
    return torch.tensor(list(json.dumps(plain).encode()), dtype=torch.uint8)


def read_card(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The card in a state dict; empty where it has none, as those of version 0.4 and before.

    Raises:
        ValueError: when what lies there is no card.
    """
    return json.loads(bytes(state[CARD].tolist()).decode()) if CARD in state else {}


@lru_cache(maxsize=1)
def _state(path: str, _: tuple[int, int]) -> dict[str, Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)


def read_state(path: str) -> dict[str, Tensor]:
    """The state dict in a file: the one that was read last, unless the file has changed since.

    A run wants the card and then the weights, and reading takes a fifth of a second. The tensors are to be copied.
    """
    stat = os.stat(path)
    return dict(_state(path, (stat.st_mtime_ns, stat.st_size)))


def is_judged(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has a judge."""
    return any(name.startswith("judge.") for name in state)


def has_judge(path: str) -> bool:
    """Whether a file with weights has a judge; what is no checkpoint is for the loader to refuse."""
    try:
        return is_judged(read_state(path))
    except Exception:
        return True


def card_of(path: str) -> dict[str, Any]:
    """The card of a file with weights.

    A file that is no checkpoint has none; :py:class:`bundle.model.checkpoint.ModelLoader` says what is wrong with it.
    """
    try:
        return dict(read_card(read_state(path)))
    except Exception:
        return {}


def weights_note(path: str) -> str:
    """What every reader of a mask has to know of the weights that made it: the ``note`` on their card, or nothing."""
    return str(card_of(path).get("note", ""))
