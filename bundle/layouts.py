# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The folder layouts in which people download data sets, and datalists with patient-level splits made from them."""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from bundle.data import LABELS, is_image, stem_of
from bundle.errors import InputError
from bundle.files import write_whole
from bundle.reading import check_same_grid, read_volume

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """Where a data set keeps its files.

    Attributes:
        image: regular expression of an image's path from the root; ``MODALITY`` stands for the modality's part of the
            name, the group ``patient`` names whom it is of. Without that group, see :py:func:`_name_patients`.
        label: glob patterns from the root, in order of preference, filled with the groups of ``image``.
        modalities: the modality's part of the file name, by modality.
        case: regular expression of the folder of a case, so that a case without its image is missed; or None.
        label_needed: whether a case without a label is incomplete; else it is taken for healthy.
    """

    image: str
    label: tuple[str, ...]
    modalities: Mapping[str, str]
    case: str | None = None
    label_needed: bool = True


_BIDS = {"flair": "FLAIR", "t1": "T1w", "t1ce": "ce-[^_]+_T1w", "t2": "T2w", "dwi": "dwi"}
LAYOUTS = {
    # BraTS2021_00000/BraTS2021_00000_flair.nii.gz
    "brats2021": Layout(
        r"(?P<folder>(?:.*/)?(?P<patient>BraTS2021_\d+))/(?P=patient)_MODALITY",
        ("{folder}/{patient}_seg.nii*",),
        {name: name for name in ("flair", "t1", "t1ce", "t2")},
        r"BraTS2021_\d+",
    ),
    # BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz; the last number is the visit
    "brats2023": Layout(
        r"(?P<folder>(?:.*/)?(?P<case>(?P<patient>BraTS-GLI-\d+)-\d+))/(?P=case)-MODALITY",
        ("{folder}/{case}-seg.nii*",),
        {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"},
        r"BraTS-GLI-\d+-\d+",
    ),
    # R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz
    "atlas": Layout(
        r"(?P<stem>(?:.*/)?(?P<patient>sub-r\d+s\d+)_[^/]*)_MODALITY",
        ("{stem}_label-L*_mask.nii*",),
        {"t1": "T1w"},
        r"sub-r\d+s\d+",
    ),
    # sub-strokecase0001/ses-0001/anat/sub-strokecase0001_ses-0001_FLAIR.nii.gz, masks in derivatives
    "isles2022": Layout(
        r"(?P<root>(?:.*/)?)(?P<patient>sub-strokecase\d+)/(?P<visit>ses-\d+)/(?:[^/]+/)?(?P=patient)_(?P=visit)_MODALITY",
        ("{root}derivatives/{patient}/{visit}/**/{patient}_{visit}*msk.nii*",),
        {"flair": "(?:FLAIR|flair)", "dwi": "dwi", "adc": "adc"},
        r"sub-strokecase\d+",
    ),
    "bids": Layout(
        r"(?P<root>(?:.*/)?)(?P<patient>sub-[^/_]+)/(?:ses-[^/]+/)?(?:anat|dwi)/(?P<stem>(?P=patient)[^/]*?)_MODALITY",
        tuple(
            f"{{root}}derivatives/**/{{stem}}*{ending}.nii*"
            for ending in ("lesion_mask", "lesion_roi", "mask", "dseg", "roi")
        ),
        _BIDS,
        r"sub-[^/_]+",
        label_needed=False,
    ),
    # PATIENT/flair.nii.gz, PATIENT/seg.nii.gz, dataset.csv with the columns patient and split
    "lgg_flair": Layout(r"(?P<patient>[^/]+)/MODALITY", ("{patient}/seg.nii*",), {"flair": "flair"}, r"TCGA_[^/]+"),
    # images anywhere; a label lies beside its image as IMAGE_seg, seg or the like, or as IMAGE in a folder "labels"
    "folder": Layout(
        r"(?P<folder>(?:.*/)?)(?P<stem>[^/]*)MODALITY",
        (
            *(f"{{folder}}{{stem}}[_-]{ending}.nii*" for ending in LABELS),
            *("labels/{stem}.nii*", "{folder}seg.nii*", "{folder}lesion.nii*"),
        ),
        dict.fromkeys(("flair", "t1", "t1ce", "t2", "dwi"), ""),
        label_needed=False,
    ),
}
_CSV_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def _globbed(root: Path, pattern: str, groups: Mapping[str, str]) -> str | None:
    escaped = {name: re.sub(r"([*?[])", r"[\1]", value or "") for name, value in groups.items()}
    found = sorted(glob(pattern.format(**escaped), root_dir=root, recursive=True))
    return found[0] if found else None


def _name_patients(root: Path, cases: Sequence[dict[str, str]]) -> None:
    """Set ``patient`` where a layout does not say it: the first folder that tells images apart, else the image itself.

    Raises:
        InputError: when it might as well be the other way round (``patient/visit.nii`` or ``visit/patient.nii``).
    """
    common = os.path.commonpath([os.path.dirname(case["image"]) for case in cases])
    stems: dict[str, set[str]] = {}
    for case in cases:
        folder, *rest = Path(case["image"]).relative_to(common).parts
        case["patient"] = folder if rest else stem_of(folder)
        stems.setdefault(case["patient"], set()).add(stem_of(case["image"]))
    for patient, names in stems.items():
        if len(names) > 1 and any(names & others for other, others in stems.items() if other != patient):
            raise InputError(
                f"{root / common}: several folders hold images of the same names as {patient} does, so folder or name "
                "may be the patient; say which by --patient, a regular expression, or take fewer images by --pattern."
            )


def find_cases(
    root: Path, layout: Layout, modality: str, pattern: str = "**/*", patient: str = ""
) -> tuple[list[dict[str, str]], list[str]]:
    """List the cases of a data set.

    Args:
        root: of the data set.
        layout: of its files.
        modality: a key of ``layout.modalities``.
        pattern: which images to take.
        patient: regular expression of the part of an image's path from the root that names the patient; empty to go by
            the layout.

    Returns:
        tuple: one dictionary a case (``patient``, ``image``, and ``label`` where there is one; paths from ``root``),
        and one sentence for each case that is incomplete.

    Raises:
        InputError: when it cannot be said whom an image is of.
    """
    name = re.compile(layout.image.replace("MODALITY", layout.modalities[modality]) + r"\.nii(?:\.gz)?")
    cases, faults = [], []
    seen = set()
    for path in sorted(glob(pattern, root_dir=root, recursive=True)):
        match = name.fullmatch(path)
        parts = Path(path).parts
        if match is None or {"derivatives", "labels"} & set(parts) or not is_image(path):
            continue
        seen.update(parts)
        groups = match.groupdict()
        case = {"patient": groups.get("patient", ""), "image": path}
        label = next((found for p in layout.label if (found := _globbed(root, p, groups)) and found != path), None)
        if label is not None:
            case["label"] = label
        elif layout.label_needed:
            faults.append(f"{root / path}: the lesion mask is missing; add it, or leave the case out.")
            continue
        cases.append(case)
    if patient:
        for case in cases:
            part = re.search(patient, case["image"])
            if part is None:
                raise InputError(f"{root / case['image']}: {patient} matches no part of the path; correct --patient.")
            case["patient"] = part.group()
    elif "patient" not in name.groupindex and cases:
        _name_patients(root, cases)
    if layout.case is not None:
        folders = {path for path in root.glob("**/") if re.fullmatch(layout.case, path.name)}
        folders = {path for path in folders if "derivatives" not in path.relative_to(root).parts}
        faults += [
            f"{path}: no {modality} image of this layout; complete the case, or leave it out."
            for path in sorted(folders)
            if path.name not in seen
        ]
    return cases, faults


def _examine(root: Path, case: dict[str, str]) -> dict[str, Any]:
    """Read a case whole: what is unusable is found now, not in the middle of a training."""
    image = read_volume(root / case["image"])
    result: dict[str, Any] = {**case, "slices": int(image.shape[-1])}
    if "label" in case:
        label = read_volume(root / case["label"], "label")
        check_same_grid(label, root / case["label"], "label", image)
        result["lesion_voxels"] = int(np.count_nonzero(label))
    return result


def _examined(root: Path, cases: Sequence[dict[str, str]], notes: Path, workers: int) -> tuple[list[dict], list[str]]:
    """Examine all cases, those first met in this call; each is noted at once, so an interrupted call loses nothing."""
    known = {}
    if notes.exists():
        for line in notes.read_text().splitlines():
            try:
                done = json.loads(line)
            except ValueError:  # cut short by an interruption
                continue
            known[done["image"], done.get("label")] = done
    missing = [case for case in cases if (case["image"], case.get("label")) not in known]
    faults = []
    notes.parent.mkdir(parents=True, exist_ok=True)
    with notes.open("a") as file, ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_examine, root, case): case for case in missing}
        for future in tqdm(as_completed(futures), "Examining", len(futures), unit="case"):
            try:
                done = future.result()
            except InputError as error:
                faults.append(str(error))
                continue
            known[done["image"], done.get("label")] = done
            file.write(json.dumps(done) + "\n")
            file.flush()
    return [known[key] for case in cases if (key := (case["image"], case.get("label"))) in known], sorted(faults)


def _split_of_patients(
    root: Path, patients: Sequence[str], validation: float, test: float, seed: int
) -> dict[str, str]:
    """The split of each patient: from ``dataset.csv`` where the data set has one, else drawn."""
    table = root / "dataset.csv"
    if table.is_file():
        with table.open() as file:
            rows = list(csv.DictReader(file))
        if rows and {"patient", "split"} <= set(rows[0]):
            return {row["patient"]: _CSV_SPLITS[row["split"]] for row in rows if row["split"] in _CSV_SPLITS}
    shuffled = sorted(set(patients))
    random.Random(seed).shuffle(shuffled)
    held = [round(part if part >= 1 else part * len(shuffled)) or int(part > 0) for part in (validation, test)]
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
    test: float = 0.2,
    seed: int = 0,
    workers: int = 2,
    pattern: str = "**/*",
    patient: str = "",
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
        test: the same for testing.
        seed: of the draw.
        workers: cases examined at once.
        pattern: which images to take, for instance ``**/*_flair.nii.gz``.
        patient: what of a path names the patient, a regular expression (``sub-[0-9]+``), where the layout does not say
            it or says it otherwise. In the layout "folder", folders are patients, and in a folder without any its
            images are; the label of ``x.nii.gz`` is ``x_seg.nii.gz`` (mask, label, lesion, roi) or ``seg.nii.gz``
            beside it, or ``labels/x.nii.gz``.

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
    split = _split_of_patients(root, [case["patient"] for case in examined], validation, test, seed)
    datalist: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for case in examined:
        if case["patient"] not in split:
            faults.append(f"{root / case['image']}: dataset.csv gives its patient no split; add one.")
            continue
        paths = {key: str(root.resolve() / case[key]) for key in ("image", "label") if key in case}
        datalist[split[case["patient"]]].append({**case, **paths})
    write_whole(target, json.dumps(datalist, indent=4) + "\n")
    notes.unlink()
    counts = ", ".join(f"{len(entries)} {name}" for name, entries in datalist.items())
    healthy = sum("label" not in entry for entries in datalist.values() for entry in entries)
    if healthy:
        counts += f"; {healthy} without a label, taken for healthy"
    return "\n".join([f"{output}: {counts}", *(f"left out: {fault}" for fault in faults)])
