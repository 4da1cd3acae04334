# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Datalists made of datalists: several data sets at once, and scans with the masks of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.datalists import absolute_paths, images_of, read_entries, read_splits
from bundle.errors import InputError
from bundle.files import write_whole


def merge_datalists(output: str, datalists: Sequence[str]) -> str:
    """Write one datalist with the splits of all; paths become absolute.

    Args:
        output: the datalist to write (JSON), none of those that are merged.
        datalists: to merge, at least two.

    Returns:
        str: the sizes of the splits.

    Raises:
        InputError: when a datalist cannot be read, would be overwritten, or fewer than two are given, or one scan
            would be in two splits.
    """
    if len(datalists) < 2:
        raise InputError(f"{output}: give first the datalist to write, then at least two to merge.")
    if Path(output).resolve() in [Path(datalist).resolve() for datalist in datalists]:
        raise InputError(f"{output}: one of the datalists to merge; give the path of another file to write first.")
    merged: dict[str, list[dict]] = {}
    for datalist in datalists:
        path = Path(datalist)
        try:
            splits = json.loads(path.read_text())
            for split, entries in splits.items():
                merged.setdefault(split, [])
                merged[split] += [{**entry, **absolute_paths(entry, path.resolve().parent)} for entry in entries]
        except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
            raise InputError(f"{datalist}: not a datalist that can be read ({error}); give its path.") from error
    split_of: dict[Path, str] = {}
    for split, entries in merged.items():
        for entry in entries:
            for image in filter(None, images_of(entry).values()):
                if (other := split_of.setdefault(Path(image).resolve(), split)) != split:
                    raise InputError(
                        f'{image}: in the split "{other}" and in the split "{split}"; '
                        "take it out of one of the datalists."
                    )
    write_whole(Path(output), json.dumps(merged, indent=4) + "\n")
    return f"{output}: " + ", ".join(f"{len(entries)} {split}" for split, entries in merged.items())


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
    for path in sorted(Path(results).resolve().rglob("*_statistics.json")):
        try:
            statistics = json.loads(path.read_text())
            scan = Path(statistics["image"]).resolve(), statistics.get("series", "")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not the statistics of a scan; run inference on the scan again.") from error
        masks[scan] = path.with_name(path.name.replace("_statistics.json", "_mask.nii.gz"))
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
    write_whole(Path(output), json.dumps(splits, indent=4) + "\n")
    return f"{output}: {len(added)} scans with a pseudo-label added to {len(splits['training']) - len(added)} others"
