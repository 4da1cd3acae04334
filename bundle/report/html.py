# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One HTML report a run: pictures inside, nothing fetched, to be scrolled through by somebody who reads scans."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ignite import distributed as idist
from ignite.engine import Engine, Events
from jinja2 import Environment, FileSystemLoader
from PIL import Image
from torch import nn

from bundle.cases.case import CaseFolder
from bundle.data.datasets import VolumeStream
from bundle.distributed import gather
from bundle.files import writable_folder, write_whole
from bundle.report.pictures import (
    chosen_slices,
    encoded,
    film_strip,
    highest_error,
    mask_curve,
    montage,
    slice_pictures,
    window_of,
)
from bundle.report.volumes import read_volumes


def _inline(picture: Image.Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encoded(picture, "JPEG")).decode()


def case_section(case: CaseFolder) -> dict[str, Any]:
    """What the report shows of a case, made from the files of its folder; its pictures are also written there as PNG.

    Args:
        case: that is finished.

    Returns:
        dict: ``statistics``, and pictures as data URLs: ``slices``, ``film``, ``curve`` and ``thumbnail``.
    """
    statistics, volumes = case.statistics(), read_volumes(case)
    window, highest = window_of(volumes), highest_error(volumes)
    slices = chosen_slices(volumes)
    largest = int(volumes.mask.sum(axis=(0, 1)).argmax()) if volumes.mask.any() else slices[len(slices) // 2]
    by_slice = {z: slice_pictures(volumes, z, window, highest) for z in slices[::-1]}
    film = film_strip(volumes, largest, window)
    curve = mask_curve(statistics["refinement"]["mask_ml_by_iteration"])

    case.write("slice_pictures", encoded(montage([list(p.values()) for p in by_slice.values()]), "PNG"))
    case.write("shrinking", encoded(montage([[picture for _, picture in film]]), "PNG"))
    case.write("curve", encoded(curve, "PNG"))
    return {
        "statistics": statistics,
        "has_label": volumes.label is not None,
        "thumbnail": _inline(by_slice.get(largest, next(iter(by_slice.values())))["outline"]),
        "slices": [
            {"number": z, "pictures": {name: _inline(picture) for name, picture in pictures.items()}}
            for z, pictures in by_slice.items()
        ],
        "film": [{"iteration": iteration, "picture": _inline(picture)} for iteration, picture in film],
        "film_slice": largest,
        "curve": _inline(curve),
    }


def write_report(
    path: Path, sections: Sequence[Mapping[str, Any]], run: Mapping[str, Any], faults: Sequence[str] = ()
) -> Path:
    """Write the HTML report of a run.

    Args:
        path: of the report.
        sections: of :py:func:`case_section`.
        run: facts about the run, shown as they are.
        faults: one sentence for each volume that could not be processed.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = environment.get_template("report.html").render(
        sections=sections, run=run, faults=faults, made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    )
    write_whole(path, page)
    return path


class RunReport:
    """Make the report of a run: each case when it is done, the page when all are.

    Args:
        output_dir: of the run; it is made, and found writable, before any work is done.
        dataset: the volumes of the run.
        model: the model that is used.
        weights: the file that it was loaded from.
        settings: of the run, by name.
    """

    def __init__(
        self, output_dir: str, dataset: VolumeStream, model: nn.Module, weights: str, settings: Mapping[str, Any]
    ) -> None:
        self.output_dir = Path(output_dir)
        self.dataset = dataset
        self.model = model
        self.weights = Path(weights)
        self.settings = settings
        self.sections: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add_case)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        self.sections.clear()
        writable_folder(self.output_dir)
        if idist.get_rank() == 0:
            # of an earlier run in this folder: not true of what this one will have written
            for name in ("report.html", "cases.csv", "summary.json"):
                (self.output_dir / name).unlink(missing_ok=True)

    def add_case(self, engine: Engine) -> None:
        for item in engine.state.batch:
            self.sections.append(case_section(CaseFolder(self.output_dir / item["case"])))

    def write(self, engine: Engine) -> None:
        sections, faults = gather(self.sections), gather(self.dataset.faults)
        if idist.get_rank() != 0:
            return
        judged = {}
        if self.model.judge is not None:
            lowest = float(self.model.lesion_threshold)
            judged["lowest threshold"] = f"{lowest:.4g} (lesion score; no labels; each volume has its own above it)"
        run = {
            "weights": f"{self.weights.name}, SHA-256 {hashlib.sha256(self.weights.read_bytes()).hexdigest()[:16]}",
            "threshold": f"{float(self.model.threshold):.4g} (squared error; from healthy scans, no labels)",
            **judged,
            "device": str(engine.state.device),
            **self.settings,
        }
        path = write_report(self.output_dir / "report.html", sections, run, faults)
        print(f"\nReport: {path.resolve()}")
