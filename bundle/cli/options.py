# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Options of the command line that no config knows; MONAI would take them, and do nothing with them."""

from __future__ import annotations

import ast
import difflib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser, run

from bundle.errors import InputError


def _value(text: str) -> str | list[str]:
    """A value as the command line means it: a list of paths, or a path."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, list) else text


def check_options(arguments: Sequence[str] | None = None) -> None:
    """Refuse an option of ``python -m monai.bundle run`` that is neither MONAI's nor a key of the configs.

    Args:
        arguments: of the process, its own when None; those of other commands are let pass.

    Raises:
        InputError: naming the option, and the key that may have been meant.
    """
    program, *words = sys.argv if arguments is None else arguments
    if Path(program).parts[-3:] != ("monai", "bundle", "__main__.py") or words[:1] != ["run"]:
        return
    options: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""]):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name] = value if equals else following
    own = set(inspect.signature(run).parameters)
    files = next((value for name, value in options.items() if name.replace("-", "_") == "config_file"), None)
    if files is None:
        return
    known = own | set(ConfigParser.load_config_files(_value(files)))
    for name in options:
        key = name.replace("::", "#").split("#")[0]
        if key not in known and key.replace("-", "_") not in own:
            close = difflib.get_close_matches(key, sorted(known), 1)
            meant = f"did you mean --{close[0]}?" if close else "see the keys at the top of the config."
            raise InputError(f"--{name}: no such option of {files}; {meant}")
