# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The subcommands review and label: a review of the masks by a clinician."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click

from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.options import OPTIONS
from bundle.cli.types import Existing, OutputFolder, Text, Whole
from bundle.errors import InputError


@click.command(cls=Command, context_settings=CONTEXT)
@argument("studies", type=Text())
@option("--port", type=Whole(1, 65535), default="8000", help="Port to listen on.")
@option("--host", type=Text(), default="127.0.0.1", help="Address to listen on; this machine only by default.")
@option("--work_dir", type=OutputFolder(), default="output/monai-label", help="Folder for copies and labels.")
@option("--allow", type=Text(), multiple=True, help="Open a request that a review does not need. Can be repeated.")
@option("--allow-remote", is_flag=True, help="Other machines may reach the server; needs a token.")
@option("--generic", is_flag=True, help="Serve MONAI Label's generic app: no clicks, scribbles and work list.")
@option("--modality", type=OPTIONS["modality"].type, help="MRI contrast of the scans, flair where it is not said.")
@option("--ckpt_path", type=OPTIONS["ckpt_path"].type, help=OPTIONS["ckpt_path"].help)
@option("--split", type=OPTIONS["split"].type, default="test", help=OPTIONS["split"].help)
@option("--config", multiple=True, metavar="NAME", help="Lay another config over, as for segment. Can be repeated.")
def label(modality: str | None, ckpt_path: str | None, config: tuple[str, ...], **values: Any) -> None:
    """Serve scans to 3D Slicer and OHIF, with MONAI Label.

    STUDIES is a folder of scans, a datalist (JSON), or the address of a DICOMweb server. MONAI Label needs a Python
    environment of its own: see docs/monai-label.md.

    \b
    Examples:
      itermask2 label study/
      itermask2 label scans.json --config contrasts
    """
    if find_spec("monailabel") is None:
        raise InputError("MONAI Label is not installed in this Python environment; docs/monai-label.md says how.")
    from bundle.label import start

    options = {"modality": modality, "ckpt_path": ckpt_path, "config": config}
    start(**values, options={name: value for name, value in options.items() if value})


@click.command(cls=Command, context_settings=CONTEXT)
@argument("results", type=Existing("the output folder of itermask2 segment", file=False))
@option("--port", type=Whole(0, 65535), default="0", help="Port to listen on; 0 is any that is free.")
@option("--keep", type=Whole(1), default="3", help="Scans kept ready for clicks; each takes some hundred megabytes.")
@option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@option("--modality", type=OPTIONS["modality"].type, help="MRI contrast; by default that of the run.")
@option("--ckpt_path", type=OPTIONS["ckpt_path"].type, help="Weights, as the run had them.")
@option("--device", type=OPTIONS["device"].type, help=OPTIONS["device"].help)
@option("--config", multiple=True, metavar="NAME", help="A config that the run was made with. Can be repeated.")
def review(results: str, port: int, keep: int, browser: bool, config: tuple[str, ...], **values: Any) -> None:
    """Review masks in a browser: look, click on what is lesion or normal, accept or reject.

    RESULTS is the output folder of itermask2 segment. The page is for this machine alone. Each change is kept as a
    version in the folder of the case; results are never changed. See docs/how-to/review.md.

    \b
    Example:
      itermask2 review results
    """
    from bundle.review import start

    options = {name: value for name, value in values.items() if value is not None}
    start(results, port=port, keep=keep, browser=browser, config=config, **options)
