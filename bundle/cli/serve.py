# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The subcommand label: a review of the masks by a clinician."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click

from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.types import OutputFolder, Text, Whole
from bundle.errors import InputError


@click.command(cls=Command, context_settings=CONTEXT)
@argument("studies", type=Text())
@option("--port", type=Whole(1, 65535), default="8000", help="Port to listen on.")
@option("--host", type=Text(), default="127.0.0.1", help="Address to listen on; this machine only by default.")
@option("--work_dir", type=OutputFolder(), default="output/monai-label", help="Folder for copies and labels.")
@option("--allow", type=Text(), multiple=True, help="Open a request that a review does not need. Can be repeated.")
@option("--allow-remote", is_flag=True, help="Other machines may reach the server; needs a token.")
def label(**values: Any) -> None:
    """Serve scans to 3D Slicer and OHIF, with MONAI Label.

    STUDIES is a folder of scans, or the address of a DICOMweb server. MONAI Label needs a Python environment of its
    own: see docs/monai-label.md.

    \b
    Example:
      itermask2 label study/
    """
    if find_spec("monailabel") is None:
        raise InputError("MONAI Label is not installed in this Python environment; docs/monai-label.md says how.")
    from bundle.label import start

    start(**values)
