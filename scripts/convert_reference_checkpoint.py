# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Turn two checkpoints of the authors' program into one of this bundle.

``python -m scripts.convert_reference_checkpoint INITIAL.pt REFINER.pt --output model.pt``
"""

import os
import pickle
from pathlib import Path

import fire
import torch

from bundle.errors import InputError
from bundle.model.authors_checkpoint import convert_reference_state


def _read(path: str, channels: int) -> tuple[dict, dict]:
    role = "initial network" if channels == 1 else "refiner"
    try:
        state, arguments = convert_reference_state(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give the checkpoint of the {role}.") from error
    except (ValueError, KeyError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a checkpoint of the authors' program; give the state dict that it saves for the {role}."
        ) from error
    if arguments["in_channels"] != channels:
        raise InputError(
            f"{path}: a network with {arguments['in_channels']} input channels, but the {role} has {channels}; "
            "give the initial network first and the refiner second."
        )
    return state, arguments


def convert(initial: str, refiner: str, output: str = "model.pt", threshold: float = float("nan")) -> None:
    """Convert the authors' checkpoints, and say with which settings the result is used.

    Args:
        initial: checkpoint of the initial network.
        refiner: checkpoint of the refiner.
        output: file to write.
        threshold: of the squared error, where it is known; without one, calibrate the result on healthy scans.
    """
    states, arguments = zip(_read(initial, 1), _read(refiner, 2))
    model = {f"{name}.{key}": v for name, state in zip(("initial", "refiner"), states) for key, v in state.items()}
    model |= {"threshold": torch.tensor(float(threshold)), "lesion_threshold": torch.tensor(float("nan"))}
    unfinished = Path(output).with_suffix(".unfinished")
    torch.save(model, unfinished)
    os.replace(unfinished, output)
    sizes = arguments[1]
    print(
        f"{output} written. Use it with configs/published.json and --ckpt_path {output} --channels {sizes['channels']} "
        f'--channel_multipliers "{sizes["channel_multipliers"]}" --attention_levels "{sizes["attention_levels"]}" '
        f"--res_blocks {sizes['res_blocks']}"
    )
    if threshold != threshold:
        print("It has no threshold yet: calibrate it first (configs/calibrate.json).")


if __name__ == "__main__":
    fire.Fire(convert)
