# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A finished case is made ready for clicks, as its run has segmented it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bundle.cases import CaseFolder
from bundle.interaction import ScanState, prepare_scan


def modality_of(case: CaseFolder) -> str:
    """Of the run that made a case."""
    return case.statistics().get("modality", "flair")


def preparing(config: Sequence[str], options: Mapping[str, Any]) -> Callable[[CaseFolder], ScanState]:
    """A function that prepares finished cases, with the configs and options that their run had.

    The modality is that of the case, where the options name none: cases of several runs may lie in one folder.
    """

    def prepare(case: CaseFolder) -> ScanState:
        statistics = case.statistics()
        brain = statistics.get("brain_mask") or (case.file("brain_mask") if case.has("brain_mask") else None)
        series = {"series": statistics["series"]} if statistics.get("series") else {}
        values = {"modality": modality_of(case), **series, **options}
        return prepare_scan(statistics["image"], brain, config, statistics.get("others"), **values)

    return prepare
