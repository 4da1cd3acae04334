# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Running the configs of this bundle as ``python -m monai.bundle run`` does, with values that are taken as they are."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bundle.cli.bundle_files import ROOT, config_path
from bundle.cli.quick import quick_imports

# how MONAI marks expressions, references and macros, and fire options
_MARKS = ("$", "@", "%", "-")


def _typed_text(value: Any) -> str:
    """A value as it is typed behind an option."""
    text = str(list(value)) if isinstance(value, (list, tuple)) else str(value)
    return f"./{text}" if isinstance(value, str) and text.startswith(_MARKS) else text


def _quoted(word: str) -> str:
    """A word for the shell; lists of texts, which have quotes of their own, in double ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def bundle_command(run_id: str, configs: Sequence[str], values: Mapping[str, Any]) -> str:
    """The command that does what :py:func:`run_configs` does."""
    files = [config_path(name) for name in configs]
    here = Path.cwd() == ROOT
    shown = [str(path.relative_to(ROOT) if here and ROOT in path.parents else path) for path in files]
    words = [
        "python",
        "-m",
        "monai.bundle",
        "run",
        run_id,
        "--config_file",
        shown[0] if len(shown) == 1 else str(shown),
    ]
    for name, value in {**({} if here else {"bundle_root": str(ROOT)}), **values}.items():
        words += [f"--{name}", _typed_text(value)]
    command = " ".join(map(_quoted, words))
    return command if here else f"PYTHONPATH={_quoted(str(ROOT))} {command}"


def run_configs(run_id: str, configs: Sequence[str], values: Mapping[str, Any], quiet: bool = False) -> None:
    """Run configs of this bundle.

    Args:
        run_id: the key to run, such as "inference".
        configs: names of configs, or paths, laid over each other.
        values: of keys of these configs; text is never evaluated.
        quiet: leave the logging of the process as it is.

    Raises:
        InputError: when values do not go together, or what the run raises.
    """
    from bundle.cli.typed_workflow import TypedWorkflow

    workflow = TypedWorkflow(
        [str(config_path(name)) for name in configs],
        run_id,
        {"bundle_root": str(ROOT), **values},
        logging_file=False if quiet else str(ROOT / "configs" / "logging.conf"),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


# what is laid over a run that torchrun has started in several processes
_SEVERAL = {"training": "multi_gpu_train", "inference": "multi_gpu_evaluate", "evaluation": "multi_gpu_evaluate"}


def do(run_id: str, configs: Sequence[str], values: Mapping[str, Any], dry_run: bool) -> None:
    """Run configs, or print the command that does; see :py:func:`run_configs`. Values that are None are left out.

    Of the processes that ``torchrun`` starts each does its share.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and run_id in _SEVERAL:
        configs = [*configs, _SEVERAL[run_id]]
    if dry_run:
        print(bundle_command(run_id, configs, given))
        return
    with quick_imports(optimizers=run_id == "training"):
        import_module("bundle.cli.typed_workflow")
    run_configs(run_id, configs, given)
