# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The command ``itermask2``."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from bundle import __version__
from bundle.cli.commands import CONTEXT
from bundle.errors import InputError, input_error

# where each subcommand is defined, in the order in which the help page lists them
COMMANDS = {
    "segment": "bundle.cli.runs",
    "train": "bundle.cli.runs",
    "calibrate": "bundle.cli.runs",
    "recipe": "bundle.cli.recipes",
    "evaluate": "bundle.cli.runs",
    "benchmark": "bundle.cli.runs",
    "simulate-clicks": "bundle.cli.runs",
    "stability": "bundle.cli.runs",
    "compare": "bundle.cli.results",
    "figures": "bundle.cli.results",
    "prepare": "bundle.cli.data_sets",
    "phantom": "bundle.cli.data_sets",
    "t2-like": "bundle.cli.data_sets",
    "merge": "bundle.cli.data_sets",
    "pseudo-labels": "bundle.cli.data_sets",
    "review": "bundle.cli.serve",
    "label": "bundle.cli.serve",
    "export": "bundle.cli.weights",
    "convert": "bundle.cli.weights",
    "publish": "bundle.cli.weights",
}


class Subcommands(click.Group):
    """Subcommands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = next((known for known in COMMANDS if known.replace("-", "_") == name.replace("-", "_")), None)
        return getattr(import_module(COMMANDS[found]), found.replace("-", "_")) if found else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], list(COMMANDS), 1)
            meant = f"did you mean {close[0]}?" if close else "see itermask2 --help."
            raise InputError(f"{args[0]}: no such subcommand; {meant}")
        return super().resolve_command(ctx, args)


@click.group(cls=Subcommands, context_settings=CONTEXT)
@click.version_option(__version__)
def itermask2() -> None:
    """Find brain lesions in MRI, with a model that no expert's lesion mask has taught.

    Research use only; not a medical device.

    \b
    Start with:
      itermask2 segment flair.nii.gz -o results

    Each subcommand has a --help page with an example.
    """


def _sentence(error: click.ClickException) -> str:
    """A fault that click finds, as a sentence that says where help is."""
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "itermask2"
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for param in error.ctx.command.params for name in param.opts if name.startswith("--")]
        close = difflib.get_close_matches(error.option_name, known, 1)
        return f"{error.option_name}: no such option; " + (
            f"did you mean {close[0]}?" if close else f"see {where} --help."
        )
    return f"{error.format_message().rstrip('.')}; see {where} --help."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; an ``InputError`` is shown as its sentence alone.

    Args:
        arguments: those of the process when None.

    Returns:
        int: the exit code: 0, or 1 after a fault.
    """
    # threads that wait sleep, and leave the processor to others; read when torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # for programmers
    warnings.simplefilter("ignore")
    try:
        code = itermask2.main(arguments, prog_name="itermask2", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 0
    except click.ClickException as error:
        fault = _sentence(error)
    except (click.Abort, KeyboardInterrupt):
        fault = "Interrupted."
    except Exception as error:
        found = input_error(error)
        if found is None:
            raise
        fault = str(found)
    print(f"\nError: {fault}", file=sys.stderr)
    return 1
