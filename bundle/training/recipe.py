# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The way to trained weights as a list of rounds, run by one command that goes on where it was.

``itermask2 recipe recipes/flair.json -o output/recipe --input lgg_flair=/data/lgg_flair``

A recipe is JSON:

* ``inputs``: what the command must be given, by name, with some words on each. ``{name}`` in a text of a round stands
  for it.
* ``rounds``: objects with ``name``, ``step`` (a key of :py:data:`bundle.training.recipe_steps.STEPS`), and what the
  step takes: ``data``, ``scans`` and ``datalists`` (datalists), ``from`` (weights), ``config`` (further configs) and
  ``keys`` (overrides of the configs, whatever they are). Datalists and weights are names of earlier rounds, or paths
  relative to the recipe; configs are names of those of this bundle, or such paths.

Each round has a folder of its name in the working folder. What it was made of is noted there when it has ended: a round
that has ended is not repeated, and one that was made of something else, or of a file that has changed, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.errors import InputError
from bundle.files import sha256, writable_folder, write_json
from bundle.training.recipe_steps import STEPS, Inputs, RunConfigs, run_in_a_process

# fields that name datalists or weights
SOURCES = ("data", "scans", "from", "datalists")


DONE = "done.json"


def read_recipe(path: str | Path, inputs: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rounds of a recipe, checked, with the inputs put in.

    Args:
        path: of the recipe.
        inputs: by name, what its ``inputs`` ask for: a path, described in words, or one of a list of words.

    Returns:
        list: of rounds; in ``SOURCES``, names of rounds, and paths, which are absolute.

    Raises:
        InputError: when the recipe cannot be run as it stands.
    """
    file = Path(path)
    try:
        recipe = json.loads(file.read_text())
        asked, rounds = dict(recipe.get("inputs", {})), list(recipe["rounds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a recipe that can be read ({error}); give a JSON file with rounds.") from error
    for name in {*asked, *inputs}:
        if name not in inputs:
            one_of = isinstance(asked[name], list)
            what = f"one of {', '.join(asked[name])}" if one_of else asked[name]
            raise InputError(f"{path}: it needs {what}; give it as --input {name}={'WORD' if one_of else 'PATH'}.")
        if name not in asked:
            raise InputError(
                f"--input {name}: {path} asks for no such input; it asks for {', '.join(asked) or 'none'}."
            )
    given = {name: given_input(name, asked[name], value) for name, value in inputs.items()}
    checked: list[dict[str, Any]] = []
    for one in rounds:
        one = with_inputs(one, given)
        check_round(f"{path}: round {one.get('name')!r}", one, [other["name"] for other in checked])
        names = {other["name"] for other in checked}
        for field in set(SOURCES) & set(one):
            many = one[field] if field == "datalists" else [one[field]]
            found = [source if source in names else existing(path, one, file.parent / source) for source in many]
            one[field] = found if field == "datalists" else found[0]
        one["config"] = [
            existing(path, one, file.parent / config) if config.endswith(".json") else config
            for config in one.get("config", [])
        ]
        checked.append(one)
    return checked


def given_input(name: str, asked: str | Sequence[str], value: str) -> str:
    """An input as it is put into the rounds: one of the words that a list allows, or else the absolute path of a file
    or folder.

    Raises:
        InputError: when it is none of the words, or is not there.
    """
    if isinstance(asked, list):
        if value not in asked:
            raise InputError(f"--input {name}={value}: no such {name}; choose one of {', '.join(asked)}.")
        return value
    if not Path(value).exists():
        raise InputError(f"--input {name}={value}: it is not there; give {asked}.")
    return str(Path(value).resolve())


def with_inputs(value: Any, inputs: Mapping[str, str]) -> Any:
    """A value of a recipe, ``{name}`` in its texts replaced."""
    if isinstance(value, dict):
        return {key: with_inputs(item, inputs) for key, item in value.items()}
    if isinstance(value, list):
        return [with_inputs(item, inputs) for item in value]
    if isinstance(value, str):
        for name, given in inputs.items():
            value = value.replace(f"{{{name}}}", given)
    return value


def check_round(where: str, one: Mapping[str, Any], earlier: Sequence[str]) -> None:
    """Refuse a round that no step could run.

    Args:
        where: recipe and round, for the sentence.
        one: the round.
        earlier: names of the rounds before it.

    Raises:
        InputError: naming what is wrong.
    """
    name, step = one.get("name"), one.get("step")
    if not isinstance(name, str) or not name or name != Path(name).name or name in earlier:
        raise InputError(f"{where}: give each round a name of its own, which can be that of a folder.")
    if step not in STEPS:
        raise InputError(f"{where}: no such step as {step!r}; choose one of {', '.join(STEPS)}.")
    needs, takes = STEPS[step].needs, STEPS[step].takes
    missing = [field for field in needs if field not in one]
    unknown = sorted(set(one) - {"name", "step", "about", *needs, *takes})
    if missing or unknown:
        wrong = f"without {missing[0]}" if missing else f"with {unknown[0]}"
        allowed = ", ".join(dict.fromkeys((*needs, *takes))) or "nothing"
        raise InputError(f"{where}: {wrong}; the step {step} takes {allowed}.")


def existing(recipe: str | Path, one: Mapping[str, Any], path: Path) -> str:
    """A source that is no earlier round: a file.

    Raises:
        InputError: when there is none.
    """
    if not path.is_file():
        raise InputError(
            f"{recipe}: round {one['name']!r} refers to {path.name}, which is no round before it, and no file {path} "
            "exists; correct the name."
        )
    return str(path.resolve())


def fingerprints(rounds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What each round is made of, in short: its fields, and the fingerprints of the rounds that it refers to."""
    result: dict[str, str] = {}
    for one in rounds:
        sources = [source for field in SOURCES if field in one for source in [one[field]]]
        names = [name for source in sources for name in (source if isinstance(source, list) else [source])]
        fields = {name: value for name, value in one.items() if name != "about"}
        made_of = [fields, [result[name] for name in names if name in result]]
        result[one["name"]] = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return result


def files_of(one: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of the files that a round refers to: datalists, weights and configs that no round makes."""
    sources = [one[field] for field in SOURCES if field in one] + [one.get("config", [])]
    paths = [path for source in sources for path in ([source] if isinstance(source, str) else source)]
    return {path: sha256(path) for path in paths if Path(path).is_absolute()}


def ended(folder: Path, fingerprint: str, files: Mapping[str, str]) -> bool:
    """Whether a round has ended, as the recipe describes it.

    Args:
        folder: of the round.
        fingerprint: see :py:func:`fingerprints`.
        files: see :py:func:`files_of`.

    Raises:
        InputError: when it was begun or ended as another recipe describes it, or with files that have changed since.
    """
    note = folder / DONE
    if not note.is_file():
        return False
    made_of = json.loads(note.read_text())
    if made_of["fingerprint"] != fingerprint:
        raise InputError(
            f"{folder}: made by another recipe, or from other inputs; delete that folder to make it anew, "
            "or choose another --work."
        )
    # notes of before tell of no files
    for path, mark in made_of.get("files", {}).items():
        if files.get(path) != mark:
            raise InputError(
                f"{folder}: {path} has changed since; delete that folder to make it anew, or choose another --work."
            )
    return made_of["ended"]


def run_recipe(
    path: str | Path, work: str | Path, inputs: Mapping[str, str] | None = None, run: RunConfigs = run_in_a_process
) -> dict[str, Path]:
    """Run the rounds of a recipe that have not ended yet.

    Args:
        path: of the recipe.
        work: folder for all that is made; the same one goes on.
        inputs: by name, what the recipe asks for.
        run: how configs are run.

    Returns:
        dict: from the name of each round to its product.

    Raises:
        InputError: before any work, when the recipe, its inputs or earlier products are at fault; or in a round.
    """
    rounds = read_recipe(path, inputs or {})
    folder = writable_folder(work).resolve()
    prints = fingerprints(rounds)
    products = {one["name"]: folder / one["name"] / STEPS[one["step"]].product for one in rounds}
    files = {one["name"]: files_of(one) for one in rounds}
    open_rounds = [one for one in rounds if not ended(folder / one["name"], prints[one["name"]], files[one["name"]])]
    print(plan(rounds, [one["name"] for one in open_rounds]))
    for one in open_rounds:
        name, step = one["name"], STEPS[one["step"]]
        print(f"\n{name}: {one['step']}", flush=True)
        note = {"fingerprint": prints[name], "files": files[name], "round": one}
        write_json(folder / name / DONE, {**note, "ended": False})
        step.do(round_inputs(one, folder / name, products), run)
        if not products[name].is_file():
            raise InputError(f"{products[name]}: the round has not made it; see what it says above.")
        write_json(folder / name / DONE, {**note, "ended": True})
    return products


def round_inputs(one: Mapping[str, Any], folder: Path, products: Mapping[str, Path]) -> Inputs:
    """The inputs of a round, the products of earlier rounds in the place of their names."""

    def product(source: str) -> str:
        return str(products.get(source, source))

    return Inputs(
        folder=folder,
        data=product(one.get("data", "")),
        scans=product(one.get("scans", "")),
        weights=product(one.get("from", "")),
        datalists=[product(source) for source in one.get("datalists", [])],
        config=one.get("config", []),
        keys=one.get("keys", {}),
    )


def plan(rounds: Sequence[Mapping[str, Any]], still: Sequence[str]) -> str:
    """The rounds as a table."""
    rows = [
        {
            "round": one["name"],
            "step": one["step"],
            "from": Path(one.get("from", "")).name,
            "data": ", ".join(Path(source).name for source in one.get("datalists", [one.get("data", "")])),
            "": "" if one["name"] in still else "has ended",
        }
        for one in rounds
    ]
    return pd.DataFrame(rows).to_string(index=False, justify="left")
