# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What each kind of round of a recipe does, from its inputs to its product."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bundle.data.joining import merge_datalists
from bundle.data.prepare import prepare_dataset
from bundle.errors import InputError
from bundle.files import write_json
from bundle.model.publishing import publish
from bundle.phantom.cohort import write_cohort
from bundle.phantom.t2_like import write_t2_like
from bundle.training.pseudo_labels import add_pseudo_labels

ROOT = Path(__file__).resolve().parents[2]


class Inputs(NamedTuple):
    """What a round works on; all paths are absolute.

    Attributes:
        folder: of the round, where its product goes.
        data: datalist.
        scans: datalist whose "training" is segmented for pseudo-labels.
        weights: checkpoint to start from.
        datalists: to merge.
        config: names or paths of further configs, laid over those of the step.
        keys: overrides of the config; of a step without a config, arguments of its function.
    """

    folder: Path
    data: str = ""
    scans: str = ""
    weights: str = ""
    datalists: Sequence[str] = ()
    config: Sequence[str] = ()
    keys: Mapping[str, Any] = {}


# runs a key of configs that are laid over each other
RunConfigs = Callable[[str, Sequence[str]], None]


def run_in_a_process(run_id: str, files: Sequence[str]) -> None:
    """Run configs as a user does, in a process of its own, so that no round knows of another.

    Raises:
        InputError: when the run fails; what it said stands above.
    """
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(list(files))]
    command += ["--bundle_root", str(ROOT)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    if done.returncode:
        raise InputError(
            f"{files[-1]}: the run of this config ended with code {done.returncode}; see what it says above, then "
            "give the same command again."
        )


class Step(NamedTuple):
    """A kind of round.

    Attributes:
        needs: fields of a round that it must have, of those of :py:class:`Inputs`; "weights" is written "from".
        product: name of the file that it makes for later rounds.
        do: the work.
        takes: fields that it may have besides.
    """

    needs: tuple[str, ...]
    product: str
    do: Callable[[Inputs, RunConfigs], None]
    takes: tuple[str, ...] = ("keys",)


def run_workflow(
    inputs: Inputs, run: RunConfigs, run_id: str, configs: Sequence[str], output: Path, **values: Any
) -> None:
    """Run configs with the keys of a round, which are written beside its product as ``config.json``."""
    files = [config if config.endswith(".json") else f"{ROOT}/configs/{config}.json" for config in configs]
    overrides = {"datalist": inputs.data, "output_dir": str(output), **values, **inputs.keys}
    own = inputs.folder / "config.json"
    write_json(own, overrides)
    run(run_id, [*files, str(own)])


def workflow_step(
    run_id: str, configs: Sequence[str], weights_key: str, *, needs: tuple[str, ...], product: str = "model.pt"
) -> Step:
    """A step that is a run of configs of this bundle.

    Args:
        run_id: the key that is run.
        configs: names of configs.
        weights_key: of the config, which takes the weights to start from.
        needs: see :py:class:`Step`.
        product: see :py:class:`Step`.
    """

    def do(inputs: Inputs, run: RunConfigs) -> None:
        weights = {weights_key: inputs.weights} if inputs.weights else {}
        run_workflow(inputs, run, run_id, [*configs, *inputs.config], inputs.folder, **weights)

    return Step(needs, product, do, takes=("from", "config", "keys"))


def find_pseudo_labels(inputs: Inputs, run: RunConfigs) -> None:
    """Segment the scans of "training", and list the masks beside the data."""
    results = inputs.folder / "results"
    scans = inputs._replace(data=inputs.scans or inputs.data)
    values = {"split": "training", "ckpt_path": inputs.weights}
    run_workflow(scans, run, "inference", ["inference", *inputs.config], results, **values)
    add_pseudo_labels(inputs.data, str(results), str(inputs.folder / "datalist.json"))


def simulate(inputs: Inputs, run: RunConfigs) -> None:
    """Simulate people; the keys are arguments of :py:func:`bundle.phantom.write_cohort`."""
    write_cohort(str(inputs.folder), **inputs.keys)


def turn_over(inputs: Inputs, run: RunConfigs) -> None:
    """Make T2-like scans of the T1 scans of a datalist."""
    write_t2_like(str(inputs.folder), inputs.data)


def prepare(inputs: Inputs, run: RunConfigs) -> None:
    """List a data set; the keys are arguments of :py:func:`bundle.data.prepare.prepare_dataset`."""
    prepare_dataset(output=str(inputs.folder / "datalist.json"), **inputs.keys)


def merge(inputs: Inputs, run: RunConfigs) -> None:
    """Join datalists."""
    merge_datalists(str(inputs.folder / "datalist.json"), inputs.datalists)


def write_published(inputs: Inputs, run: RunConfigs) -> None:
    """Write weights in half precision, as they ship; into the folder of the round, never over those that ship."""
    publish(inputs.weights, str(inputs.folder / "model.pt"))


STEPS = {
    "phantom": Step((), "datalist.json", simulate),
    "t2_like": Step(("data",), "datalist.json", turn_over, takes=()),
    "prepare": Step(("keys",), "datalist.json", prepare, takes=()),
    "merge": Step(("datalists",), "datalist.json", merge, takes=()),
    "train": workflow_step("training", ["train"], "pretrained", needs=("data",)),
    "judge": workflow_step("training", ["train", "judge"], "pretrained", needs=("data", "from")),
    "calibrate": workflow_step("calibration", ["train", "calibrate"], "ckpt_path", needs=("data", "from")),
    "calibrate_judge": workflow_step(
        "calibration", ["inference", "calibrate_judge"], "ckpt_path", needs=("data", "from")
    ),
    "pseudo_label": Step(("data", "from"), "datalist.json", find_pseudo_labels, takes=("scans", "config", "keys")),
    "evaluate": workflow_step(
        "evaluation", ["inference", "evaluate"], "ckpt_path", needs=("data", "from"), product="summary.json"
    ),
    "publish": Step(("from",), "model.pt", write_published, takes=()),
}
