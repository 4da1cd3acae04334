# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Unlabelled scans with the masks that a model has found in them, for the judge that comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.cases import finished_cases
from bundle.data.datalists import images_of, read_entries, read_splits
from bundle.errors import InputError
from bundle.files import write_json


def _scans_of(entry: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """The files or folders of the images of an entry, each with the DICOM series of it that is meant."""
    return [(Path(path).resolve(), entry.get("series", "")) for path in images_of(entry).values()]


def add_pseudo_labels(datalist: str, results: str, output: str) -> str:
    """Write a datalist whose "training" also has whole scans with the masks that an inference run found in them.

    No expert's label goes with these scans. Where an entry has several contrasts, on one grid, the mask that was found
    in one of them goes with all.

    Args:
        datalist: with the splits "training" and "validation".
        results: output folder of an inference run over images of "training".
        output: the datalist to write (JSON).

    Returns:
        str: what was added.

    Raises:
        InputError: when the run has no result for any image of "training", or a result has no mask.
    """
    splits = {split: read_entries(datalist, split) for split in ("training", "validation")}
    if read_splits(datalist).get("test"):
        splits["test"] = read_entries(datalist, "test")
    masks: dict[tuple[Path, str], Path] = {}
    for case in finished_cases(results):
        statistics = case.statistics()
        try:
            scan = Path(statistics["image"]).resolve(), statistics.get("series", "")
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{case.file('statistics')}: not the statistics of a scan; run inference on the scan again."
            ) from error
        masks[scan] = case.file("mask").resolve()
    added = [
        {**{key: entry[key] for key in ("image", "brain_mask", "series") if key in entry}, "pseudo_label": found[0]}
        for entry in splits["training"]
        if (found := [str(masks[scan]) for scan in _scans_of(entry) if scan in masks])
    ]
    if not added:
        raise InputError(
            f'{results}: no result for any of the {len(splits["training"])} images of "training" in {datalist}; '
            "run inference on them first."
        )
    missing = [entry["pseudo_label"] for entry in added if not Path(entry["pseudo_label"]).is_file()]
    if missing:
        raise InputError(
            f"{missing[0]}: the mask is missing ({len(missing)} of {len(added)} are); run inference on the scan again."
        )
    splits["training"] += added
    write_json(Path(output), splits)
    return f"{output}: {len(added)} scans with a pseudo-label added to {len(splits['training']) - len(added)} others"
