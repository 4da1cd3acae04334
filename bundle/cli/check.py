# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The options of ``python -m monai.bundle run``, checked before any work is done.

MONAI takes any option, guesses its type, and evaluates text that begins with "$". Here the text that was typed is read
again, by the types of :py:mod:`bundle.cli.options`, and what it stands for is handed to the run.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.cli.notices import silence_notices
from bundle.cli.options import OPTIONS, check_together, converted, typed
from bundle.cli.types import Listing, Number, Switch
from bundle.errors import InputError, show_input_errors

# how MONAI marks expressions, references and macros
_MARKS = ("$", "@", "%")


def _options_of(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options with their text, and the words that belong to none, as fire tells them apart."""
    options: dict[str, str] = {}
    others = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if not re.match("--|-[a-zA-Z]", word):
            others.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not equals:
            if not remaining or re.match("--|-[a-zA-Z]", remaining[0]):
                raise InputError(f"--{name}: a value is missing; give one, as in --{name} VALUE.")
            value = remaining.pop(0)
        if name in options:
            raise InputError(f"--{name} was given twice, as {options[name]} and {value}; give it once.")
        options[name] = value
    return options, others


def _literal(text: Any) -> Any:
    """A value as fire reads it, without its guesses at bare words."""
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (SyntaxError, ValueError):
        return text


def _refuse_expressions(name: str, value: Any) -> None:
    """Config files alone may hold expressions."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _refuse_expressions(name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_expressions(name, [key, item])
    elif isinstance(value, str) and (value.startswith(_MARKS) or value == "_target_"):
        raise InputError(f"--{name} {value}: expressions can be given in config files alone; give a plain value.")


def _refuse_unknown(name: str, known: Sequence[str], files: Any) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, sorted(known), 1)
        meant = f"did you mean --{close[0]}?" if close else "see the keys at the top of the config."
        raise InputError(f"--{name}: no such option of {files}; {meant}")


def _is_of_numbers(value: Any) -> bool:
    """Whether a value is a number, or holds nothing else."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return bool(value) and all(map(_is_of_numbers, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _part(config: Any, steps: Sequence[str], name: str, files: Any) -> Any:
    """What a config says at an inner key; None where the last step is new there, as another argument of a component."""
    for number, step in enumerate(steps):
        index = int(step) if isinstance(config, list) and step.isdigit() else step
        there = index in config if isinstance(config, Mapping) else isinstance(index, int) and index < len(config or ())
        if there:
            config = config[index]
        elif isinstance(config, Mapping) and number == len(steps) - 1 and not _is_of_numbers(config):
            return None
        else:
            raise InputError(f"--{name}: the config has no {step} there; see {files}.")
    return config


def _check_kind(name: str, text: Any, default: Any) -> None:
    """Refuse a value where the config has one of another kind; of several numbers by name all are needed."""
    kinds = {bool: Switch(), int: Number(), float: Number()}
    if isinstance(default, Mapping) and _is_of_numbers(default):
        values = _literal(text)
        if not isinstance(values, Mapping) or set(values) != set(default):
            first = next(iter(default))
            raise InputError(f"--{name}: it has {len(default)} values; give them one by one, as in --{name}#{first}.")
        for key, value in values.items():
            _check_kind(f"{name}#{key}", value, default[key])
    elif isinstance(default, list) and _is_of_numbers(default):
        converted(name, text, Listing(Number()))
    if type(default) in kinds and str(text).lower() not in ("none", "null"):
        converted(name, text, kinds[type(default)])


def check_values(options: Mapping[str, Any], config: Mapping[str, Any], files: Any) -> dict[str, Any]:
    """The values that options stand for.

    Args:
        options: their text, or values of JSON, by name.
        config: what the config files say.
        files: the names of these files, for sentences.

    Returns:
        dict: of the options that :py:data:`bundle.cli.options.OPTIONS` lists; the others are left to MONAI.

    Raises:
        InputError: when an option is unknown, of another type, out of range, or does not go with another.
    """
    values = {}
    for name, text in options.items():
        key, *inner = name.replace("::", "#").split("#")
        _refuse_unknown(key, list(config), files)
        if key in OPTIONS and not inner:
            # an empty text is how configs say that nothing is given
            values[key] = typed(key, text) if text != "" or config[key] != "" else ""
            continue
        _refuse_expressions(name, [*inner, _literal(text)])
        _check_kind(name, text, _part(config, [key, *inner], name, files))
    configured = {
        name: typed(name, value)
        for name, value in config.items()
        if name in OPTIONS and name not in options and value != "" and _is_plain(value)
    }
    check_together({**configured, **values}, {name for name, value in values.items() if value != ""})
    return values


def _is_plain(value: Any) -> bool:
    """Whether a value of a config is what it says: no expression, reference or component."""
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return not isinstance(value, Mapping) and not (isinstance(value, str) and value.startswith(_MARKS))


def _check_run(run_id: str, config: Mapping[str, Any], files: Any) -> None:
    """Refuse the name of something that cannot be run."""
    runs = [
        name
        for name, steps in config.items()
        if isinstance(steps, list) and "@options" in steps and name not in ("initialize", "finalize")
    ]
    if run_id not in runs:
        close = difflib.get_close_matches(run_id, runs, 1)
        meant = f"did you mean {close[0]}?" if close else f"give one of {', '.join(runs)}."
        raise InputError(f"{run_id}: nothing of that name can be run by {files}; {meant}")


def options_of_command_line(arguments: Sequence[str]) -> dict[str, Any]:
    """The values of the options of ``python -m monai.bundle run``; none for another command.

    Args:
        arguments: of a process, the program first.

    Raises:
        InputError: see :py:func:`check_values`; also when a word is left over, or the run does not exist.
    """
    program, *words = arguments
    if Path(program).parts[-3:] != ("monai", "bundle", "__main__.py") or words[:1] != ["run"]:
        return {}
    # MONAI is there: this is its process
    from monai.bundle import ConfigParser, run

    show_input_errors()
    silence_notices()
    options, others = _options_of(words[1:])
    own = set(inspect.signature(run).parameters) - {"override"}
    if "args_file" in options:
        options = {**ConfigParser.load_config_file(options["args_file"]), **options}
    if others[1:] or (others and "run_id" in options):
        raise InputError(
            f"{others[-1]}: a word that belongs to no option; an option takes one value, and several scans are given "
            "as a list (\"['a.nii','b.nii']\"), as a folder, or to the command itermask2 segment."
        )
    files = _literal(options.get("config_file"))
    config = ConfigParser.load_config_files(files)
    run_id = others[0] if others else options.get("run_id", "run")
    unknown = {name: value for name, value in options.items() if name not in own}
    for name in ("init_id", "final_id"):
        if name in options and options[name] not in config:
            raise InputError(f"--{name} {options[name]}: no such key of {files}; leave the option out.")
    for name in unknown:
        # MONAI's own options are as good a guess
        _refuse_unknown(name.replace("::", "#").split("#")[0], [*config, *own], files)
    values = check_values(unknown, config, files)
    _check_run(str(run_id), config, files)
    return values


def check_options(values: dict[str, Any], arguments: Sequence[str] | None = None) -> None:
    """Refuse bad options of this process, and put the values that the others stand for where MONAI keeps resolved ones.

    To be called before anything else of a config is resolved.

    Args:
        values: what MONAI's parser has resolved so far, by id.
        arguments: of the process, its own when None.

    Raises:
        InputError: see :py:func:`options_of_command_line`.
    """
    values.update(options_of_command_line(sys.argv if arguments is None else arguments))
