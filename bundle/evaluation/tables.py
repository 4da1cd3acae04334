# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The tables of an evaluation: one CSV of slices per case, one CSV of cases, and a summary in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.networks.utils import eval_mode

from bundle.cases.run_folder import RunFolder
from bundle.distributed import gather
from bundle.errors import InputError
from bundle.evaluation.best_possible import best_possible_dice
from bundle.evaluation.summary import chosen_for_error_and_intensity, label_free, mean_and_median
from bundle.files import write_json, write_whole
from bundle.model.refinement import IterMaskNet

# columns of words; "NA" may be the name of a case
WORDS = ("case", "disease")


def read_scores(folder: Path) -> pd.DataFrame:
    """``cases.csv`` of an evaluation, one row per case.

    Args:
        folder: its output folder.

    Raises:
        InputError: when there is no evaluation.
    """
    path = folder / "cases.csv"
    if not path.is_file():
        raise InputError(f"{folder}: no cases.csv; give the output folder of an evaluation that has ended.")
    numbers = [column for column in pd.read_csv(path, nrows=0).columns if column not in WORDS]
    missing = dict.fromkeys(numbers, "nan")
    return pd.read_csv(path, dtype=dict.fromkeys(WORDS, str), keep_default_na=False, na_values=missing)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table as CSV with four digits, "nan" where there is no value."""
    return pd.DataFrame(list(rows)).to_csv(index=False, float_format="%.4f", na_rep="nan", lineterminator="\n")


class ScoreTables:
    """Keep the scores of each case in its folder, and write the tables of all when the run is complete.

    Memory holds one case at a time, and a run that goes on has the scores of the cases that were finished before.

    Args:
        run_folder: where the tables go: ``<case>/<case>_slices.csv``, ``cases.csv`` and ``summary.json``.
        model: the model that was evaluated.
        best_possible_step: with a number, also search for each largest-lesion slice the best mask that any start
            fraction and any threshold, rising by this step, would give. The paper's 0.001 takes some 1 800
            refinements per slice.
        best_possible: further arguments of :py:func:`bundle.evaluation.best_possible.best_possible_dice`.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        model: IterMaskNet,
        best_possible_step: float | None,
        best_possible: Mapping[str, Any],
    ) -> None:
        self.run_folder = run_folder
        self.model = model
        self.best_possible_step = best_possible_step
        self.best_possible = dict(best_possible)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output):  # type: ignore[call-overload]
            kinds = ("scores", "slice_scores", "lesion_scores", "reconstruction_scores")
            scores = {name: output[name] for name in kinds}
            if self.best_possible_step is not None:
                pair = (output["largest_slice_image"], output["largest_slice_lesion"])
                device = engine.state.device  # type: ignore[attr-defined]
                # outside of its iterations the evaluator leaves the model in training mode
                with eval_mode(self.model):
                    image, lesion = (volume.to(device) for volume in pair)
                    best = best_possible_dice(self.model, image, lesion, self.best_possible_step, **self.best_possible)
                scores["scores"]["largest_slice_best_possible_dice"] = float(best[0])
            case = self.run_folder.case(batch["case"])
            self.run_folder.later(case.name, partial(case.write, "slice_scores", as_csv(scores["slice_scores"])))
            self.run_folder.later(case.name, partial(case.write_voxels, output["voxels"]))
            self.run_folder.later(case.name, partial(case.write_scores, scores))

    def read(self) -> list[dict[str, Any]]:
        """What is known of all cases of the run that are done, by name; ``voxels`` is a function that reads them."""
        cases = []
        for name, entry in sorted(self.run_folder.entries.items()):
            folder = self.run_folder.case(name)
            if folder.has("scores") and self.run_folder.has_result(name):
                known = {"case": name, "disease": entry.get("disease", ""), "statistics": folder.statistics()}
                cases.append({**known, **folder.scores(), "voxels": folder.voxels})
        return cases

    def write(self, engine: Engine) -> None:
        if not self.run_folder.interrupted:
            # the others may still be at work
            gather([])
        if idist.get_rank() != 0 or self.run_folder.shard or not (cases := self.read()):
            return
        diseases = any(case["disease"] for case in cases)
        rows = [
            {
                "case": case["case"],
                **({"disease": case["disease"]} if diseases else {}),
                **case["scores"],
                **case["reconstruction_scores"],
                "iterations": case["statistics"]["refinement"]["iterations"],
                "cap_reached": case["statistics"]["refinement"]["cap_reached"],
                "seconds": case["statistics"]["refinement"]["seconds"],
            }
            for case in cases
        ]
        write_whole(self.run_folder.path / "cases.csv", as_csv(rows))
        summary = self.summary(cases)
        write_json(self.run_folder.path / "summary.json", summary)
        dice = summary["label_free"]["volume"]["dice"]
        engine.logger.info(f"Dice of {dice['number']} volumes: mean {dice['mean']}, median {dice['median']}")

    def summary(self, cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What ``summary.json`` holds: first what needed no label, then what labels chose."""
        result: dict[str, Any] = {
            "notice": "Research use only. Not a medical device.",
            "number_of_cases": len(cases),
            "label_free": {
                "threshold": float(self.model.threshold),
                "lesion_threshold": None if self.model.judge is None else float(self.model.lesion_threshold),
                "threshold_source": "no labels: percentiles on healthy validation slices",
                **label_free(cases),
            },
        }
        if any(case["voxels"]()["lesion"].any() for case in cases):
            result["threshold_chosen_with_test_labels"] = chosen_for_error_and_intensity(cases)
        if self.best_possible_step is not None:
            best = [case["scores"]["largest_slice_best_possible_dice"] for case in cases]
            result["best_possible_largest_slice_dice"] = mean_and_median(best)
        return result
