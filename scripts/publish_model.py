# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Make a trained model the one that ships: ``python -m scripts.publish_model output/training/model.pt``.

Weights are stored in half precision; the statistics of normalisation layers and the thresholds keep all their digits.
"""

import io
from pathlib import Path

import fire
import torch

from bundle.errors import InputError
from bundle.files import write_whole


def publish(source: str, target: str = "models/model.pt") -> None:
    """Check a checkpoint, and write it in half precision.

    Args:
        source: checkpoint that a training or a calibration has written.
        target: file to write.
    """
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
        threshold = float(state["threshold"])
    except Exception as error:
        raise InputError(f"{source}: not a checkpoint of this bundle; give the model.pt of a training.") from error
    if not threshold > 0:
        raise InputError(f"{source}: the checkpoint has no threshold; calibrate it first (configs/calibrate.json).")
    keep = ("running_mean", "running_var", "num_batches_tracked", "threshold", "_extra_state")
    stored = {name: value if name.endswith(keep) else value.half() for name, value in state.items()}
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    write_whole(Path(target), buffer.getvalue())
    parameters = sum(value.numel() for name, value in stored.items() if not name.endswith(keep))
    print(f"{target}: {parameters:,} parameters, {len(buffer.getvalue()) / 1e6:.1f} MB, threshold {threshold:.4g}")


if __name__ == "__main__":
    fire.Fire(publish)
