# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Which cases of a folder can be reviewed, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundle.cases import CaseFolder, finished_cases
from bundle.errors import InputError

# what the page shows of a case, and what clicks need to know of it
_FACTS = ("image", "lesion_ml", "number_of_components", "components", "refinement", "warnings")


def fault_of(case: CaseFolder) -> str:
    """Why a case cannot be reviewed; empty where it can."""
    try:
        statistics = case.statistics()
    except InputError as error:
        return str(error)
    if not isinstance(statistics, dict) or not all(name in statistics for name in _FACTS):
        return f"{case.file('statistics')}: it is no result of itermask2 segment; segment the scan again."
    if not case.has("mask"):
        return f"{case.file('mask')}: the mask of this case is not there any more; segment the scan again."
    return ""


def reviewable_cases(output_dir: str | Path) -> Iterator[CaseFolder]:
    """The cases of a run that can be reviewed, by path."""
    return (case for case in finished_cases(output_dir) if not fault_of(case))


def check_reviewable(output_dir: str | Path) -> list[str]:
    """Refuse a folder that holds nothing to review.

    Args:
        output_dir: that should be the output folder of a run.

    Returns:
        list: a sentence for each case of it that cannot be reviewed, while others can.

    Raises:
        InputError: when there is none; where there are cases, why the first one cannot be reviewed.
    """
    faults = [fault_of(case) for case in finished_cases(output_dir)]
    if not faults:
        raise InputError(f"{output_dir}: there is no finished case in it; give the output folder of itermask2 segment.")
    if all(faults):
        raise InputError(faults[0])
    return [fault for fault in faults if fault]
