# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The tables of an evaluation: a CSV of slices a case, a CSV of cases, and a summary in JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.networks.utils import eval_mode
from torch import nn

from bundle.cases.case import CaseFolder
from bundle.distributed import gather
from bundle.errors import InputError
from bundle.evaluation.best_possible import best_possible_dice
from bundle.evaluation.overlap import best_threshold, overlap
from bundle.files import write_whole

# lesion areas in pixels of the model's 128 x 128 grid (paper section 3.1)
SIZES = {"small": (1, 200), "medium": (200, 800), "large": (800, float("inf"))}


SCORES = ("dice", "sensitivity", "precision")


def read_scores(folder: Path) -> list[dict[str, Any]]:
    """The rows of ``cases.csv`` of an evaluation, figures as numbers.

    Args:
        folder: its output folder.

    Raises:
        InputError: when there is no evaluation.
    """
    table = folder / "cases.csv"
    if not table.is_file():
        raise InputError(f"{folder}: no cases.csv; give the output folder of an evaluation that has ended.")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    words = ("case", "cap_reached")
    return [{name: value if name in words else float(value) for name, value in row.items()} for row in rows]


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return text.getvalue()


def _summary(values: Sequence[float]) -> dict[str, float | int | None]:
    finite = np.asarray([value for value in values if np.isfinite(value)])
    if not len(finite):
        return {"mean": None, "median": None, "number": 0}
    return {
        "mean": round(float(finite.mean()), 4),
        "median": round(float(np.median(finite)), 4),
        "number": len(finite),
    }


def _by_size(dice: Sequence[float], pixels: Sequence[float]) -> dict[str, dict]:
    return {
        name: _summary([value for value, size in zip(dice, pixels) if low <= size < high])
        for name, (low, high) in SIZES.items()
    }


def _label_free(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of the masks as delivered."""
    scores = [case["scores"] for case in cases]
    pixels = [score["largest_slice_pixels_at_128"] for score in scores]
    slices = [row for case in cases for row in case["slice_scores"] if row["lesion_pixels_at_128"] > 0]
    return {
        "volume": {name: _summary([score[name] for score in scores]) for name in SCORES},
        "largest_slice": {
            **{name: _summary([score[f"largest_slice_{name}"] for score in scores]) for name in SCORES},
            "dice_by_size": _by_size([score["largest_slice_dice"] for score in scores], pixels),
        },
        "all_lesion_slices": {
            "dice_by_size": _by_size([row["dice"] for row in slices], [row["lesion_pixels_at_128"] for row in slices])
        },
        "false_positive_ml_on_lesion_free_slices": _summary(
            [score["false_positive_ml_on_lesion_free_slices"] for score in scores]
        ),
        "healthy_ssim": _summary([case["reconstruction_scores"]["healthy_ssim"] for case in cases]),
        "largest_slice_healthy_ssim": _summary(
            [case["reconstruction_scores"]["largest_slice_healthy_ssim"] for case in cases]
        ),
    }


def _chosen_with_labels(cases: Sequence[dict[str, Any]], key: str, thresholds: np.ndarray) -> dict[str, Any]:
    """Scores of a map at the one threshold that is best for these very labels, of volumes and of largest slices."""
    result: dict[str, Any] = {}
    for scope in ("volume", "largest_slice"):
        maps = []
        for voxels in (case["voxels"] for case in cases):
            chosen = voxels["in_largest_slice"] if scope == "largest_slice" else slice(None)
            maps.append((voxels[key][chosen], voxels["lesion"][chosen]))
        threshold, dice = best_threshold(maps, thresholds)
        scores = []
        for values, lesion in maps:
            mask = values > threshold
            scores.append(overlap(int((mask & lesion).sum()), int((mask & ~lesion).sum()), int((~mask & lesion).sum())))
        pixels = [case["scores"]["largest_slice_pixels_at_128"] for case in cases]
        result[scope] = {
            "threshold": threshold,
            **{name: _summary([score[name] for score in scores]) for name in SCORES},
            "dice_by_size": _by_size(dice, pixels),
        }
    return result


class ScoreTables:
    """Collect the scores of all cases and write them when the run is complete.

    Args:
        output_dir: where the tables go: ``<case>/<case>_slices.csv``, ``cases.csv`` and ``summary.json``.
        model: the model that was evaluated.
        best_possible_step: with a number, also search for each largest-lesion slice the best mask that any start
            fraction and any threshold, rising by this step, would give. The paper's 0.001 takes some 1 800
            refinements a slice.
    """

    def __init__(self, output_dir: str, model: nn.Module, best_possible_step: float | None = None) -> None:
        self.output_dir = Path(output_dir)
        self.model = model
        self.best_possible_step = best_possible_step
        self.cases: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self.cases.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output):
            names = ("scores", "slice_scores", "reconstruction_scores", "voxels")
            case = {"case": batch["case"], "statistics": output["statistics"], **{name: output[name] for name in names}}
            if self.best_possible_step is not None:
                pair = (output["largest_slice_image"], output["largest_slice_lesion"])
                # outside of its iterations the evaluator leaves the model in training mode
                with eval_mode(self.model):
                    image, lesion = (volume.to(engine.state.device) for volume in pair)
                    best = best_possible_dice(self.model, image, lesion, step=self.best_possible_step)
                case["scores"]["largest_slice_best_possible_dice"] = float(best[0])
            CaseFolder(self.output_dir / case["case"]).write("slice_scores", _csv(case["slice_scores"]))
            self.cases.append(case)

    def write(self, engine: Engine) -> None:
        cases = gather(self.cases)
        if idist.get_rank() != 0 or not cases:
            return
        cases.sort(key=lambda case: case["case"])
        rows = [
            {
                "case": case["case"],
                **case["scores"],
                **case["reconstruction_scores"],
                "components": case["statistics"]["number_of_components"],
                "iterations": case["statistics"]["refinement"]["iterations"],
                "cap_reached": case["statistics"]["refinement"]["cap_reached"],
                "seconds": case["statistics"]["refinement"]["seconds"],
            }
            for case in cases
        ]
        write_whole(self.output_dir / "cases.csv", _csv(rows))
        summary = self.summary(cases)
        write_whole(self.output_dir / "summary.json", json.dumps(summary, indent=4) + "\n")
        dice = summary["label_free"]["volume"]["dice"]
        engine.logger.info(f"Dice of {dice['number']} volumes: mean {dice['mean']}, median {dice['median']}")

    def summary(self, cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
        everything = np.concatenate([case["voxels"]["error"] for case in cases])
        low, high = float(everything.min()), float(everything.max())
        intensity = np.concatenate([case["voxels"]["intensity"] for case in cases])
        result: dict[str, Any] = {
            "notice": "Research use only. Not a medical device.",
            "number_of_cases": len(cases),
            "label_free": {
                "threshold": float(self.model.threshold),
                "lesion_threshold": None if self.model.judge is None else float(self.model.lesion_threshold),
                "threshold_source": "no labels: percentiles on healthy validation slices",
                **_label_free(cases),
            },
        }
        if any(case["voxels"]["lesion"].any() for case in cases):
            result["threshold_chosen_with_test_labels"] = {
                "grid": "the model's",
                # the paper's 100 thresholds of the error, min-max normalised over the whole test set
                "error_map": _chosen_with_labels(cases, "error", low + (high - low) * np.arange(100) / 10_000),
                "plain_intensity": _chosen_with_labels(
                    cases, "intensity", np.linspace(float(intensity.min()), float(intensity.max()), 500)
                ),
            }
        if self.best_possible_step is not None:
            best = [case["scores"]["largest_slice_best_possible_dice"] for case in cases]
            result["best_possible_largest_slice_dice"] = _summary(best)
        return result
