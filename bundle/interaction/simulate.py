# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How much clicks help, measured with a robot in the place of a clinician."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from bundle.cli.contrasts import which_images
from bundle.data import read_datalist
from bundle.data.volumes import read_on_grid, read_volume
from bundle.evaluation.overlap import mask_scores
from bundle.files import write_json, write_whole
from bundle.interaction.answering import answer
from bundle.interaction.baselines import by_flood, by_random_walker
from bundle.interaction.prepare import prepare_scan
from bundle.interaction.prompts import Prompts
from bundle.interaction.region import distance_from
from bundle.interaction.robot import Click, next_click
from bundle.interaction.state import ScanState
from bundle.report.markdown import as_markdown
from bundle.report.pictures import figure_png

OURS, FLOOD, WALKER = "IterMask2", "region growing", "random walker"
BASELINES = {FLOOD: by_flood, WALKER: by_random_walker}
_COLOURS = {OURS: "#c9184a", FLOOD: "#2b6cb0", WALKER: "#5c6775"}


def prompts_of(clicks: Sequence[Click]) -> Prompts:
    """Clicks as prompts."""
    return Prompts(
        foreground=[click.voxel for click in clicks if click.lesion],
        background=[click.voxel for click in clicks if not click.lesion],
    )


def _far_away(state: ScanState, clicks: Sequence[Click], far: float) -> np.ndarray:
    """The brain farther than ``far`` millimetres from every click (bool)."""
    if not clicks:
        return state.brain
    return (distance_from([click.voxel for click in clicks], state.shape, state.spacing) > far) & state.brain


def clicked(state: ScanState, truth: np.ndarray, robot: Mapping[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """What one robot does to the mask of one scan, a row for each number of clicks and each method.

    The robot looks at our masks; the baselines get the same clicks.

    Args:
        state: of the scan.
        truth: bool, on the grid of the scan.
        robot: ``clicks``, ``jitter`` in voxels, ``far`` in millimetres, and the numbers of the baselines.
        seed: of the robot.
    """
    random = np.random.default_rng(seed)
    start = state.mask > 0
    masks = dict.fromkeys((OURS, *BASELINES), start)
    seconds = dict.fromkeys(masks, 0.0)
    clicks: list[Click] = []
    with_maps = math.nan
    most = robot["clicks"]
    for number in range(most + 1):
        last = number == most
        away = _far_away(state, clicks, robot["far"]) if last else None
        for method, mask in masks.items():
            yield {
                "seed": seed,
                "clicks": number,
                "method": method,
                "dice": mask_scores(mask, truth)["dice"],
                "seconds": seconds[method],
                "seconds_with_maps": with_maps if method == OURS else math.nan,
                # it takes long, and later clicks leave less that is far
                "far_changed": math.nan if away is None else float((mask != start)[away].mean()),
            }
        if last:
            return
        click = next_click(masks[OURS], truth, state.spacing, robot["jitter"], random)
        if click is None:
            # nothing is wrong: further clicks are not needed, and the masks stay
            seconds = dict.fromkeys(masks, math.nan)
            continue
        clicks.append(click)
        started = time.perf_counter()
        found = answer(state, prompts_of(clicks))
        masks[OURS] = found.mask > 0
        seconds[OURS] = time.perf_counter() - started
        with_maps = math.nan
        if seed == 0 and number == 0:
            # the networks look again; slow, so measured once
            found.reconstruction  # noqa: B018
            with_maps = time.perf_counter() - started
        for method, change in BASELINES.items():
            started = time.perf_counter()
            masks[method] = change(masks[method], clicks, state, robot)
            seconds[method] = time.perf_counter() - started


def summarised(rows: pd.DataFrame, reached: Sequence[float]) -> dict[str, Any]:
    """For each method the mean Dice by number of clicks, the area under it, and how many clicks a Dice takes.

    Args:
        rows: of :py:func:`clicked`, with the ``case`` of each.
        reached: values of Dice; clicks to reach them are counted up to the most that were made.
    """
    summary: dict[str, Any] = {}
    for method, of_method in rows.groupby("method", sort=False):
        runs = of_method.pivot_table(index=["case", "seed"], columns="clicks", values="dice")
        most = int(runs.columns[-1])
        curve = runs.groupby("case").mean().mean()
        there = {f"{dice:g}": runs >= dice for dice in reached}
        needed = {
            f"clicks_to_{dice}": float(at.idxmax(axis=1).where(at.any(axis=1), most).mean())
            for dice, at in there.items()
        }
        summary[str(method)] = {
            "dice": [round(float(value), 4) for value in curve],
            "area": round(float(np.trapezoid(curve) / max(most, 1)), 4),
            **{name: round(value, 2) for name, value in needed.items()},
            "reached": {dice: round(float(at.any(axis=1).mean()), 3) for dice, at in there.items()},
            "seconds": round(float(of_method.loc[of_method["clicks"] > 0, "seconds"].median()), 3),
            "seconds_with_maps": round(float(of_method.loc[of_method["clicks"] == 1, "seconds_with_maps"].median()), 3),
            "far_changed": float(of_method["far_changed"].max()),
        }
    return summary


def curves(summary: Mapping[str, Any]) -> Figure:
    """Mean Dice against the number of clicks, a line for each method."""
    figure = Figure(figsize=(5, 3.4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="clicks", ylabel="mean volume Dice", ylim=(0, 1))
    for method, found in summary.items():
        axes.plot(found["dice"], marker="o", markersize=4, color=_COLOURS.get(method), label=method)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def as_text(summary: Mapping[str, Any]) -> str:
    """A summary as a table in Markdown: a row for each method."""
    table = pd.DataFrame(
        {
            method: {
                **{f"{number} clicks": dice for number, dice in enumerate(found["dice"])},
                **{name: value for name, value in found.items() if name not in ("dice", "reached")},
            }
            for method, found in summary.items()
        }
    ).T
    return as_markdown(table.reset_index(names="method"))


def simulate_clicks(datalist: str, split: str, output_dir: str, robot: Mapping[str, Any], **overrides: Any) -> str:
    """Let a robot click in scans whose lesions are known, and measure what that gives.

    Writes ``clicks.csv`` (a row for each scan, seed, number of clicks and method), ``clicks.json`` (see
    :py:func:`summarised`) and ``clicks.png``.

    Args:
        datalist: JSON, see :py:func:`bundle.data.read_datalist`.
        split: of it.
        output_dir: where the files go.
        robot: of ``configs/interaction.json``.
        overrides: see :py:func:`bundle.interaction.prepare_scan`.

    Returns:
        str: the summary as a table.

    Raises:
        InputError: what is wrong with a scan or a label.
    """
    cases = read_datalist(datalist, split, required=("image", "label"), **which_images(overrides))
    folder = Path(output_dir)
    rows: list[dict[str, Any]] = []
    for case in tqdm(cases, "Clicking", unit="scan"):
        label = read_on_grid(case["label"], "label", read_volume(case["image"], series=case.get("series", "")))
        truth = np.asarray(label[0]) > 0
        series = {"series": case["series"]} if "series" in case else {}
        state = prepare_scan(case["image"], case.get("brain_mask"), others=case.get("others"), **series, **overrides)
        for seed in range(robot["seeds"]):
            rows += [{"case": case["case"], **row} for row in clicked(state, truth, robot, seed)]
        # what is done so far is kept
        table = pd.DataFrame(rows)
        write_whole(folder / "clicks.csv", table.to_csv(index=False))
    summary = summarised(table, robot["reached"])
    write_json(folder / "clicks.json", summary)
    write_whole(folder / "clicks.png", figure_png(curves(summary)))
    return as_text(summary)
