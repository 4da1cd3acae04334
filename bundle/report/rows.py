# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One row per volume of a run: what a table shows, and what ``volumes.csv`` holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bundle.cases.case import CaseFolder
from bundle.cases.run_folder import Failure, RunFolder
from bundle.errors import InputError

DONE, FAILED, MISSING, EARLIER = "done", "failed", "not reached", "of an earlier run"

COLUMNS = (
    *("case", "image", "status", "lesion_ml", "from_ml", "to_ml", "components", "largest_ml", "largest_place"),
    *("expert_ml", "dice", "iterations", "seconds", "warnings", "failure"),
)


def _of_statistics(statistics: dict[str, Any]) -> dict[str, Any]:
    largest = statistics["components"][0] if statistics["components"] else {}
    expert = statistics.get("expert", {})
    low, high = statistics["refinement"].get("uncertain_ml", (None, None))
    return {
        "lesion_ml": statistics["lesion_ml"],
        "from_ml": low,
        "to_ml": high,
        "components": statistics["number_of_components"],
        "largest_ml": largest.get("volume_ml"),
        "largest_place": largest.get("place"),
        "expert_ml": expert.get("lesion_ml"),
        "dice": expert.get("dice"),
        "iterations": statistics["refinement"]["iterations"],
        "seconds": round(statistics["refinement"]["seconds"], 1),
        "warnings": " ".join(statistics["warnings"]),
    }


def rows_of_run(run_folder: RunFolder, failures: Iterable[Failure], earlier: Iterable[CaseFolder] = ()) -> pd.DataFrame:
    """All volumes of a run, in the order of the run, then those of earlier runs in its folder.

    Args:
        run_folder: of the run.
        failures: of all its processes.
        earlier: cases of earlier runs in its folder.

    Returns:
        DataFrame: one row per volume, the columns of ``COLUMNS``; volumes in ml, ``from_ml`` and ``to_ml`` where
            the threshold is uncertain; what is unknown is missing.
    """
    sentences = {failure.case: failure.sentence for failure in failures}
    rows = []
    for name, entry in run_folder.entries.items():
        row = {"case": name, "image": str(entry["image"])}
        if name in sentences:
            rows.append({**row, "status": FAILED, "failure": sentences[name]})
        elif run_folder.has_result(name):
            file = run_folder.case(name).file("statistics")
            try:
                rows.append({**row, "status": DONE, **_of_statistics(run_folder.case(name).statistics())})
            except (KeyError, TypeError):
                sentence = f"{file}: it was changed, and lacks figures; delete it, and give the same command again."
                rows.append({**row, "status": FAILED, "failure": sentence})
        else:
            rows.append({**row, "status": MISSING})
    for case in earlier:
        try:
            statistics = case.statistics()
            rows.append(
                {"case": case.name, "image": statistics["image"], "status": EARLIER, **_of_statistics(statistics)}
            )
        except (InputError, KeyError, TypeError):
            # of a version before, or cut short
            continue
    return pd.DataFrame(rows, columns=COLUMNS).convert_dtypes()


def middle_of(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean and median of the figures of volumes that are done, by the name of the column."""
    done = rows[rows["status"] == DONE]
    figures = done[["lesion_ml", "components", "expert_ml", "dice", "seconds"]].astype(float)
    return {"mean": figures.mean().to_dict(), "median": figures.median().to_dict()}
