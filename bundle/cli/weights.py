# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Subcommands that turn weights into other files: export, convert, publish."""

from __future__ import annotations

import math

import click

from bundle.cli.bundle_files import ROOT, config_path
from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.types import Existing, Number, OutputFile, OutputFolder, Text, Word
from bundle.errors import InputError

# by which ONNX Runtime may differ
ONNX_LIMIT = 1e-4

_WEIGHTS = Existing("the weights, a .pt file", file=True)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("output", type=Text())
@option("--format", "kind", type=Word(("torchscript", "onnx")), default="torchscript", help="Kind of file.")
@option("--ckpt_path", type=_WEIGHTS, help="The weights; those of the configs by default.")
@option("--config", "overlays", multiple=True, metavar="NAME", help="Lay another config over, as for segment.")
def export(output: str, kind: str, ckpt_path: str | None, overlays: tuple[str, ...]) -> None:
    """Write the networks as files for other programs.

    TorchScript: OUTPUT is one file (.ts), of the whole algorithm. It takes a preprocessed volume and gives the lesion
    mask at the threshold that is common to all volumes; the volume's own threshold and the cleaning are part of
    "segment" alone.

    ONNX: OUTPUT is a folder, for one file per network; ONNX Runtime has to give the same
    (pip install onnx==1.23.2 onnxruntime==1.32.0).

    \b
    Examples:
      itermask2 export model.ts
      itermask2 export --format onnx networks/
    """
    types: dict[str, click.ParamType] = {"torchscript": OutputFile(".ts"), "onnx": OutputFolder()}
    try:
        types[kind].convert(output, None, None)
    except click.BadParameter as error:
        raise InputError(f"{output}: {error.message}.") from error
    files = [str(config_path(name)) for name in ("inference", *overlays)]

    from bundle.cli.notices import silence_loggers
    from bundle.model.exporting import export_onnx, export_torchscript, loaded

    # among them the name of a file that is there for a moment
    silence_loggers()
    model = loaded(files, str(ROOT), ckpt_path)
    if kind == "onnx":
        print(export_onnx(model, output, limit=ONNX_LIMIT))
    else:
        print(export_torchscript(model, files, str(ROOT), output))


@click.command(cls=Command, context_settings=CONTEXT)
@argument("initial", type=_WEIGHTS)
@argument("refiner", type=_WEIGHTS)
@option("--output", type=OutputFile(".pt"), default="model.pt", help="File to write.")
@option("--threshold", type=Number(above=0), help="Threshold of the squared error, where it is known.")
def convert(initial: str, refiner: str, output: str, threshold: float | None) -> None:
    """Convert two checkpoints of the authors' program.

    INITIAL is the checkpoint of the initial network, REFINER that of the refiner.

    \b
    Example:
      itermask2 convert initial.pt refiner.pt --output converted.pt
    """
    from bundle.model.publishing import convert as convert_checkpoints

    sizes = convert_checkpoints(initial, refiner, output, math.nan if threshold is None else threshold)
    words = {name: f'"{value}"' if isinstance(value, list) else value for name, value in sizes.items()}
    settings = " ".join(f"--{name} {word}" for name, word in words.items())
    print(f"{output} written. Use it with --config published --ckpt_path {output} {settings}")
    if threshold is None:
        print("It has no threshold yet: calibrate it first (itermask2 calibrate).")


@click.command(cls=Command, context_settings=CONTEXT)
@argument("source", type=_WEIGHTS)
@option("--target", type=OutputFile(".pt"), required=True, help="File to write.")
def publish(source: str, target: str) -> None:
    """Write a calibrated model in half precision, as weights ship.

    \b
    Example:
      itermask2 publish output/calibrated/model.pt --target models/model.pt
    """
    from bundle.model.publishing import publish as publish_checkpoint

    print(publish_checkpoint(source, target))
