# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Datalists with patient-level splits, made from the folders of a data set."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bundle.data.datalists import PATHS
from bundle.data.folders import files_below
from bundle.data.images_below import is_label, listed
from bundle.data.layouts import LAYOUTS, find_cases
from bundle.data.scan_files import stamps
from bundle.data.volumes import check_label, read_on_grid, read_volume
from bundle.errors import InputError
from bundle.files import write_json

_CSV_SPLITS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


def _examine(root: Path, case: dict[str, str]) -> dict[str, Any]:
    """Read a case whole: what is unusable is found now, not in the middle of a training."""
    image = read_volume(root / case["image"])
    result: dict[str, Any] = {**case, "slices": int(image.shape[-1])}
    if "label" in case:
        label = read_on_grid(root / case["label"], "label", image)
        check_label(label, root / case["label"], "label", image)
        result["lesion_voxels"] = int(np.count_nonzero(label))
    return result


def _examined(root: Path, cases: Sequence[dict[str, str]], notes: Path, workers: int) -> tuple[list[dict], list[str]]:
    """Examine all cases, those first met in this call; each is noted at once, so an interrupted call loses nothing."""

    def key(case: Mapping[str, str]) -> str:
        """The files of a case, as they are now."""
        return json.dumps([[str(root / case[name]), stamps(root / case[name])] for name in PATHS if name in case])

    known: dict[str, dict[str, Any]] = {}
    if notes.exists():
        for line in notes.read_text().splitlines():
            # the last one may be cut short by an interruption
            with suppress(ValueError):
                known |= json.loads(line)
    keys = {key(case): case for case in cases}
    missing = {name: case for name, case in keys.items() if name not in known}
    faults = []
    notes.parent.mkdir(parents=True, exist_ok=True)
    with notes.open("a") as file, ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_examine, root, case): name for name, case in missing.items()}
        for future in tqdm(as_completed(futures), "Examining", len(futures), unit="case"):
            try:
                done = future.result()
            except InputError as error:
                faults.append(str(error))
                continue
            known[futures[future]] = done
            file.write(json.dumps({futures[future]: done}) + "\n")
            file.flush()
    # whom a scan is of is what this call says
    found = [{**known[name], **case} for name, case in keys.items() if name in known]
    return found, sorted(faults)


def held_out(part: float, number: int) -> int:
    """How many of a number ``part`` means: so many, or below 1 a share, which is one at least where there is any."""
    return round(part if part >= 1 else part * number) or int(part > 0 and number > 0)


def _split_of_patients(
    root: Path, patients: Sequence[str], validation: float, test: float | str, seed: int
) -> dict[str, str]:
    """The split of each patient: from ``dataset.csv`` where the data set has one, else drawn."""
    if test == "all":
        return dict.fromkeys(patients, "test")
    table = root / "dataset.csv"
    if table.is_file():
        try:
            with table.open(encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except UnicodeDecodeError as error:
            raise InputError(f"{table}: its text is not UTF-8; save the table as CSV in UTF-8.") from error
        if rows and {"patient", "split"} <= set(rows[0]):
            return {row["patient"]: _CSV_SPLITS[row["split"]] for row in rows if row["split"] in _CSV_SPLITS}
    shuffled = sorted(set(patients))
    random.Random(seed).shuffle(shuffled)
    held = [held_out(part, len(shuffled)) for part in (validation, float(test))]
    if sum(held) >= len(shuffled):
        raise InputError(
            f"{root}: {len(shuffled)} patients cannot give {held[0]} for validation and {held[1]} for test and leave "
            "any for training; ask for fewer, or say by --patient what names a patient."
        )
    ends = np.cumsum(held)
    return {p: "validation" if i < ends[0] else "test" if i < ends[1] else "training" for i, p in enumerate(shuffled)}


def prepare_dataset(
    layout: str,
    folder: str,
    output: str,
    modality: str = "flair",
    validation: float = 0.1,
    test: float | str = 0.2,
    seed: int = 0,
    workers: int = 2,
    pattern: str = "**/*",
    patient: str = "",
    also: Sequence[str] = (),
) -> str:
    """Write the datalist of a data set; no image is copied. Called again, it goes on where it was interrupted.

    Args:
        layout: "brats2021", "brats2023", "atlas", "isles2022", "bids", "lgg_flair" or "folder".
        folder: root of the data set.
        output: the datalist to write (JSON).
        modality: "flair", "t1", "t1ce", "t2", "dwi" or "adc", as far as the data set has it. The layout "folder" takes
            all images, whatever they are: choose them by ``pattern``.
        validation: patients held out for validation: their number, or below 1 their share. All visits and scans of a
            patient are in one split. A ``dataset.csv`` with the columns patient and split (train, val, test) decides
            instead, where there is one.
        test: the same for testing; "all" puts everybody there, whatever ``validation`` and ``dataset.csv`` say.
        seed: of the draw.
        workers: cases examined at once.
        pattern: which images to take, for instance ``**/*_flair.nii.gz``.
        patient: what of a path names the patient, a regular expression (``sub-[0-9]+``), where the layout does not say
            it or says it otherwise. In the layout "folder", folders are patients, and in a folder without any its
            images are; the label of ``x.nii.gz`` or ``x_flair.nii.gz`` is ``x_seg.nii.gz`` (mask, label, lesion, roi)
            or ``seg.nii.gz`` beside it, or ``labels/x.nii.gz``.
        also: further contrasts of the same patient and folder, listed beside the first one where they are there: images
            become paths by contrast. Not in the layout "folder", which cannot tell contrasts apart.

    Returns:
        str: what was done, and one sentence for each case that was left out.

    Raises:
        InputError: when layout, modality or folder is unknown, no case is usable, or there are too few patients.
    """
    if layout not in LAYOUTS:
        raise InputError(f"{layout}: no such layout; choose one of {', '.join(LAYOUTS)}.")
    known = LAYOUTS[layout].modalities
    if modality not in known:
        raise InputError(f"{modality}: the layout {layout} has no such modality; choose one of {', '.join(known)}.")
    unknown = [name for name in also if name not in known or name == modality or layout == "folder"]
    if unknown:
        raise InputError(f"--also {unknown[0]}: the layout {layout} has no such further contrast; leave it out.")
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: no such folder; give the root of the data set.")
    target = Path(output)
    cases, faults = find_cases(root, LAYOUTS[layout], modality, pattern, patient)
    notes = target.with_name(f"{target.name}.examined")
    examined, unusable = _examined(root.resolve(), cases, notes, workers)
    faults += unusable
    if not examined:
        raise InputError(
            f"{folder}: no usable {modality} case in the layout {layout}; check the folder and the layout."
            + "".join(f"\n  {fault}" for fault in faults)
        )
    others: dict[tuple[str, str, str], str] = {}
    for name in also:
        further = find_cases(root, LAYOUTS[layout], name, patient=patient)[0]
        # labels are those of the first contrast
        images = [{key: value for key, value in case.items() if key != "label"} for case in further]
        readable, unusable = _examined(root.resolve(), images, notes, workers)
        faults += unusable
        for case in readable:
            path = str(root.resolve() / case["image"])
            first = others.setdefault((name, case["patient"], str(Path(case["image"]).parent)), path)
            if first != path:
                faults.append(f"{path}: the second {name} beside {Path(first).name}, which was taken.")
    split = _split_of_patients(root, [case["patient"] for case in examined], validation, test, seed)
    datalist: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for case in examined:
        if case["patient"] not in split:
            faults.append(f"{root / case['image']}: dataset.csv gives its patient no split; write train, val or test.")
            continue
        paths: dict[str, Any] = {key: str(root.resolve() / case[key]) for key in ("image", "label") if key in case}
        if also:
            place = (case["patient"], str(Path(case["image"]).parent))
            paths["image"] = {modality: paths["image"]} | {
                name: others[(name, *place)] for name in also if (name, *place) in others
            }
        datalist[split[case["patient"]]].append({**case, **paths})
    write_json(target, datalist)
    notes.unlink()
    if layout == "folder":
        used = {case.get("label") for case in cases}
        if masks := [path for path in files_below(root) if is_label(path) and path not in used]:
            faults.append(
                f"{root}: masks by their names that belong to no image: {len(masks)} ({listed(masks)}); "
                "name a mask as its image, with _seg at the end."
            )
    counts = ", ".join(f"{len(entries)} {name}" for name, entries in datalist.items())
    healthy = sum("label" not in entry for entries in datalist.values() for entry in entries)
    if healthy:
        counts += f"; {healthy} without a label, taken for healthy"
    return "\n".join([f"{output}: {counts}", *(f"left out: {fault}" for fault in faults)])
