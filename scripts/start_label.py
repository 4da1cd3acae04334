# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Serve this bundle with MONAI Label: ``python -m scripts.start_label STUDIES``.

To be run in the environment of requirements-label.txt, from the root of the bundle.
"""

import click

from bundle.errors import InputError
from bundle.label import start


@click.command()
@click.argument("studies", default="demo")
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="This machine only, unless --allow-remote.")
@click.option("--work-dir", "--work_dir", default="output/monai-label", show_default=True, help="Copies and labels.")
@click.option("--allow", multiple=True, help="Open requests that a review does not need; several times for several.")
@click.option("--allow-remote", "--allow_remote", is_flag=True, help="Other machines may reach it; needs a token.")
@click.option("--generic", is_flag=True, help="Serve MONAI Label's generic app: no clicks, scribbles and work list.")
def main(**options: object) -> None:
    """Serve STUDIES, a folder of scans or the address of a DICOMweb server, for a review in MONAI Label."""
    try:
        start(**options)  # type: ignore[arg-type]
    except InputError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
