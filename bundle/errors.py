# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The one exception that means "the user's input is at fault", and how a command line shows it."""

from __future__ import annotations

import sys
from types import TracebackType


class InputError(ValueError):
    """A fault of the input. Its message is one sentence: the file, what is wrong with it, and what to do."""


def input_error(error: BaseException | None) -> InputError | None:
    """Find the ``InputError`` behind an exception; MONAI wraps what its transforms and components raise."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    fault = input_error(error)
    if fault is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"\nError: {fault}", file=sys.stderr)


def show_input_errors() -> None:
    """From now on, show an uncaught ``InputError`` of this process as its sentence, and nothing of tracebacks.

    For ``python -m monai.bundle``, which is not ours to wrap. The exit code of the process stays 1.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show
