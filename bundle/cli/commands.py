# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What all subcommands share: how they take options, and what their help pages look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from bundle.cli.bundle_files import top_level
from bundle.cli.options import OPTIONS
from bundle.errors import InputError

# what help pages say of defaults that are computed
_COMPUTED = {
    "device": "the GPU where there is one",
    "amp": "true on a GPU",
    "batch_size": "256 on a GPU, else 16",
    "ckpt_path": "the weights that ship for the modality",
}


# both spellings of a name, --brain_mask and --brain-mask
CONTEXT = {
    "token_normalize_func": lambda token: token.replace("-", "_"),
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
    "show_default": True,
}


class TypedOption(click.Option):
    """An option whose value is refused as that of ``python -m monai.bundle run`` is."""

    rare = False

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            raise InputError(f"{max(self.opts, key=len)} {value}: {error.message}.") from error


class TypedArgument(click.Argument):
    """An argument whose value is refused in the same words."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            try:
                self.type.convert(item, self, ctx)
            except click.BadParameter as error:
                raise InputError(f"{item}: {error.message}.") from error
        return super().type_cast_value(ctx, value)


class Command(click.Command):
    """A subcommand; its rarely needed options stand at the end of its help page."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        params = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        rare = [param for param in params if getattr(param, "rare", False)]
        for heading, listed in (("Options", [p for p in params if p not in rare]), ("Rarely needed", rare)):
            if listed:
                with formatter.section(heading):
                    formatter.write_dl([record for param in listed if (record := param.get_help_record(ctx))])


def option(*names: str, **attributes: Any) -> Callable:
    """``click.option``, its faults shown as ours."""
    return click.option(*names, cls=TypedOption, **attributes)


def argument(*names: str, **attributes: Any) -> Callable:
    """``click.argument``, its faults shown as ours."""
    return click.argument(*names, cls=TypedArgument, **attributes)


def _default(key: str, value: Any) -> str:
    """What a help page says of the value that a key of the configs has."""
    if key in _COMPUTED and str(value).startswith("$"):
        return f"  [default: {_COMPUTED[key]}]"
    if value in ("", None) or str(value).startswith(("$", "{")):
        return ""
    return f"  [default: {str(value).lower() if isinstance(value, bool) else value}]"


def run_options(
    configs: Sequence[str], often: Sequence[str], without: Sequence[str] = (), output: str = ""
) -> Callable:
    """Options for the keys of configs.

    Args:
        configs: names of the configs, laid over each other.
        often: keys to list first, the others are rarely needed.
        without: keys that the subcommand has another way for.
        output: what the help page says of the folder that results go to by default.
    """
    defaults = {**top_level(configs), "output_dir": output}
    keys = [key for key in OPTIONS if key in defaults and key not in (*without, "bundle_root")]

    def add(function: Callable) -> Callable:
        for key in [*often, *(key for key in keys if key not in often)][::-1]:
            names = ("-o", "--output_dir") if key == "output_dir" else (f"--{key}",)
            text = OPTIONS[key].help + _default(key, defaults.get(key))
            function = click.option(*names, key, cls=TypedOption, type=OPTIONS[key].type, help=text)(function)
            function.__click_params__[-1].rare = key not in often  # type: ignore[attr-defined]
        return function

    return add


def overlays(function: Callable) -> Callable:
    """``--config`` and ``--dry-run``, which all runs have."""
    function = option("--dry-run", is_flag=True, help="Print the equal command of MONAI, and do nothing.")(function)
    return option(
        "--config",
        "overlays",
        multiple=True,
        metavar="NAME",
        help="Lay another config over: published, published_size, or a JSON file of your own. Can be repeated.",
    )(function)
