# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One row per volume of a run: what a table shows, and what ``volumes.csv`` holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bundle.cases.run_folder import Failure, RunFolder

DONE, FAILED, MISSING = "done", "failed", "not reached"

COLUMNS = (
    *("case", "image", "status", "lesion_ml", "components", "largest_ml", "largest_place", "expert_ml", "dice"),
    *("iterations", "seconds", "warnings", "failure"),
)


def _of_statistics(statistics: dict[str, Any]) -> dict[str, Any]:
    largest = statistics["components"][0] if statistics["components"] else {}
    expert = statistics.get("expert", {})
    return {
        "lesion_ml": statistics["lesion_ml"],
        "components": statistics["number_of_components"],
        "largest_ml": largest.get("volume_ml"),
        "largest_place": largest.get("place"),
        "expert_ml": expert.get("lesion_ml"),
        "dice": expert.get("dice"),
        "iterations": statistics["refinement"]["iterations"],
        "seconds": round(statistics["refinement"]["seconds"], 1),
        "warnings": " ".join(statistics["warnings"]),
    }


def rows_of_run(run_folder: RunFolder, failures: Iterable[Failure]) -> pd.DataFrame:
    """All volumes of a run, in the order of the run.

    Args:
        run_folder: of the run.
        failures: of all its processes.

    Returns:
        DataFrame: one row per volume, the columns of ``COLUMNS``; volumes in ml, what is unknown is missing.
    """
    sentences = {failure.case: failure.sentence for failure in failures}
    rows = []
    for name, entry in run_folder.entries.items():
        row = {"case": name, "image": str(entry["image"])}
        if name in sentences:
            rows.append({**row, "status": FAILED, "failure": sentences[name]})
        elif run_folder.has_result(name):
            rows.append({**row, "status": DONE, **_of_statistics(run_folder.case(name).statistics())})
        else:
            rows.append({**row, "status": MISSING})
    return pd.DataFrame(rows, columns=COLUMNS).convert_dtypes()


def middle_of(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean and median of the figures of volumes that are done, by the name of the column."""
    done = rows[rows["status"] == DONE]
    figures = done[["lesion_ml", "components", "expert_ml", "dice", "seconds"]].astype(float)
    return {"mean": figures.mean().to_dict(), "median": figures.median().to_dict()}
