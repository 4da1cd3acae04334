# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The networks as files that need none of this code."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser, ckpt_export
from monai.utils import optional_import
from torch import nn

from bundle.errors import InputError
from bundle.files import write_whole
from bundle.model.card import card_of
from bundle.model.checkpoint import ModelLoader
from bundle.model.refinement import IterMaskNet

onnx, has_onnx = optional_import("onnx")
onnxruntime, has_onnxruntime = optional_import("onnxruntime")

# of ONNX: the newest that TensorRT 10 and OpenVINO read too
OPSET = 18


def loaded(configs: Sequence[str], root: str, weights: str | None) -> IterMaskNet:
    """The model of configs with its weights.

    Args:
        configs: paths of the configs that define it.
        root: of the bundle.
        weights: a checkpoint, whose modality goes before that of the configs; the one of the configs when None.

    Raises:
        InputError: when the file is no checkpoint of this model.
    """
    parser = ConfigParser()
    parser.read_config(list(configs))
    parser["bundle_root"] = root
    weights = weights or str(parser.get_parsed_content("ckpt_path"))
    parser["modality"] = card_of(weights).get("modality", parser["modality"])
    model = parser.get_parsed_content("network_def").eval()
    ModelLoader(weights, model, calibrated=False)(Engine(lambda *_: None))
    return model


def export_torchscript(model: IterMaskNet, configs: Sequence[str], root: str, target: str) -> str:
    """Write a model as TorchScript, with MONAI's own export.

    Args:
        model: of :py:func:`loaded`.
        configs: paths of the configs that define it.
        root: of the bundle.
        target: file to write (.ts).

    Returns:
        str: what was written.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, weights = Path(folder) / "model.ts", Path(folder) / "model.pt"
        torch.save(model.state_dict(), weights)
        ckpt_export(
            "network_def",
            filepath=str(whole),
            ckpt_file=str(weights),
            meta_file=str(Path(root) / "configs" / "metadata.json"),
            config_file=list(configs),
            modality=model.card["modality"],
        )
        write_whole(Path(target), whole.read_bytes())
    return f"{target}: {Path(target).stat().st_size / 1e6:.1f} MB"


def _write_onnx(network: nn.Module, channels: int, target: Path) -> float:
    """Write one network, and say how far what ONNX Runtime makes of it is from what the network itself gives."""
    traced, other = torch.randn(2, channels, 32, 32), torch.randn(3, channels, 48, 64)
    axes = {0: "batch", 2: "height", 3: "width"}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        whole = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (traced,),
            str(whole),
            input_names=["image"],
            output_names=["result"],
            dynamic_axes={"image": axes, "result": axes},
            opset_version=OPSET,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(str(whole), providers=["CPUExecutionProvider"])
        # another size than the one that was traced
        there = torch.from_numpy(session.run(None, {"image": other.numpy()})[0])
        here = network(other)
        write_whole(target, whole.read_bytes())
    return float((here - there).abs().max() / here.abs().max().clamp(min=1))


def export_onnx(model: IterMaskNet, folder: str, limit: float) -> str:
    """Write each network of a model as ONNX, float32: ``initial.onnx``, ``refiner.onnx``, and ``judge.onnx``.

    Each takes images N x channels x height x width, the sides divisible as the levels of the networks need it: see
    :py:class:`bundle.model.refinement.IterMaskNet` for what goes in.

    Args:
        model: of :py:func:`loaded`.
        folder: for the files.
        limit: largest difference from the network itself, as a share of its largest value, at least of 1.

    Returns:
        str: what was written.

    Raises:
        InputError: when ONNX is not installed, or ONNX Runtime gives another result.
    """
    if not (has_onnx and has_onnxruntime):
        raise InputError(
            "onnx and onnxruntime are not installed; pip install onnx==1.23.2 onnxruntime==1.32.0 installs them."
        )
    written = []
    for name, channels in (("initial", 1), ("refiner", 2), ("judge", 2)):
        network = getattr(model, name)
        if network is None:
            continue
        target = Path(folder) / f"{name}.onnx"
        off = _write_onnx(network, channels, target)
        if off > limit:
            target.unlink()
            raise InputError(f"{target}: ONNX Runtime gives another result (by {off:.1e}); it was not kept.")
        written.append(f"{target}: {target.stat().st_size / 1e6:.1f} MB, ONNX Runtime differs by {off:.0e}")
    return "\n".join(written)
