# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A datalist of what was reviewed: normal scans to learn and calibrate from, corrected masks to evaluate with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.cases import CaseFolder
from bundle.data.bids import bids_name
from bundle.data.case_names import stem_of
from bundle.data.datalists import images_of
from bundle.data.prepare import held_out
from bundle.errors import InputError
from bundle.files import write_json
from bundle.review.versions import ACCEPTED, CORRECTED, REJECTED, Versions, reviewed_cases


def _entry(case: CaseFolder) -> dict[str, Any]:
    """A case as a datalist names it, with the brain that its run was given or has found.

    Of several contrasts ``image`` has a path for each, the leading one first.
    """
    statistics = case.statistics()
    brain = statistics.get("brain_mask") or (str(case.file("brain_mask")) if case.has("brain_mask") else "")
    series = statistics.get("series", "")
    image = str(Path(statistics["image"]).absolute())
    others = {name: str(Path(path).absolute()) for name, path in statistics.get("others", {}).items()}
    several = others and "modality" in statistics
    return {
        "image": {statistics["modality"]: image, **others} if several else image,
        **({"brain_mask": str(Path(brain).absolute())} if brain else {}),
        **({"series": series} if series else {}),
    }


def _scan(entry: dict[str, Any]) -> str:
    """The path of the scan that was segmented."""
    return next(iter(images_of(entry).values()))


def _is_normal(versions: Versions, line: dict[str, Any]) -> bool:
    mask = np.asarray(nib.load(versions.mask_path(line)).dataobj)  # type: ignore[attr-defined]
    return not mask.any()


def _person(entry: dict[str, Any]) -> str:
    """Whom a scan is of, as names in BIDS say it; elsewhere each scan counts as a person."""
    name = bids_name(stem_of(_scan(entry)))
    return name.entities["sub"] if name else f"{_scan(entry)} {entry.get('series', '')}"


def _by_person(entries: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    people: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        people.setdefault(_person(entry), []).append(entry)
    return list(people.values())


def prepare_reviewed(results: str, output: str, validation: float = 0.1, seed: int = 0) -> str:
    """Write the datalist of a reviewed run; no image is copied.

    A scan whose mask is empty and was accepted, or was corrected until it was empty, is normal: it goes into "training"
    or "validation", without a label. A corrected mask with a lesion goes into "test" with its label. A lesion mask that
    was accepted as it is goes nowhere: to evaluate the model with its own mask would praise it. All scans of a person
    (of a study in BIDS) are in one split, so a normal scan goes nowhere when another one of that person is in "test".

    Args:
        results: output folder of the run.
        output: the datalist to write (JSON).
        validation: normal scans for validation: their number, or below 1 their share; more where a person has several.
        seed: of the draw.

    Returns:
        str: what was done.

    Raises:
        InputError: when nothing can be used, or more are asked for validation than there are normal scans.
    """
    normal: list[dict[str, Any]] = []
    corrected: list[dict[str, Any]] = []
    left_out = {ACCEPTED: 0, REJECTED: 0}
    for case, versions in reviewed_cases(results):
        line, entry = versions.last(), _entry(case)
        if not Path(_scan(entry)).exists():
            raise InputError(f"{_scan(entry)}: the scan of {case.path} is not there any more; bring it back.")
        if line["verdict"] == REJECTED:
            left_out[REJECTED] += 1
        elif _is_normal(versions, line):
            normal.append(entry)
        elif line["verdict"] == CORRECTED:
            corrected.append({**entry, "label": str(versions.mask_path(line).absolute())})
        else:
            left_out[ACCEPTED] += 1
    if not normal and not corrected:
        raise InputError(
            f"{results}: no normal scan was accepted there and no mask corrected; review it first (itermask2 review)."
        )
    tested = set(map(_person, corrected))
    others = [entry for entry in normal if _person(entry) in tested]
    normal = [entry for entry in normal if _person(entry) not in tested]
    held = held_out(validation, len(normal))
    if held > len(normal):
        raise InputError(f"--validation {validation}: {len(normal)} normal scans were accepted; ask for no more.")
    people = _by_person(normal)
    random.Random(seed).shuffle(people)
    splits: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": corrected}
    for scans in people:
        splits["validation" if len(splits["validation"]) < held else "training"] += scans
    write_json(Path(output), splits)
    sizes = ", ".join(f"{len(entries)} {split}" for split, entries in splits.items())
    return (
        f"{output}: {sizes}. Left out: {left_out[ACCEPTED]} lesion masks accepted as they are, "
        f"{left_out[REJECTED]} rejected" + (f", {len(others)} normal of people in test." if others else ".")
    )
