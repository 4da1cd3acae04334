# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The subcommand that goes a whole way to weights: recipe."""

from __future__ import annotations

import click

from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.types import Existing, OutputFolder
from bundle.errors import InputError


@click.command(cls=Command, context_settings=CONTEXT)
@argument("recipe", type=Existing("a recipe (JSON), such as recipes/flair.json", file=True))
@option("-o", "--work", type=OutputFolder(), required=True, help="Folder for all that is made; the same one goes on.")
@option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="What the recipe asks for. Can be repeated.")
def recipe(recipe: str, work: str, inputs: tuple[str, ...]) -> None:
    """Train weights round by round.

    RECIPE is a JSON file that lists the rounds. A round that has ended is not repeated: killed at any moment, the same
    command goes on where it was.

    \b
    Example:
      itermask2 recipe recipes/flair.json -o output/recipe --input lgg_flair=/data/lgg_flair
    """
    unnamed = [text for text in inputs if "=" not in text]
    if unnamed:
        raise InputError(f"--input {unnamed[0]}: give a name and a value, as in --input lgg_flair=/data/lgg_flair.")
    from bundle.training.recipe import run_recipe

    products = run_recipe(recipe, work, dict(text.split("=", 1) for text in inputs))
    print(f"\nAll rounds have ended: {list(products.values())[-1]}")
