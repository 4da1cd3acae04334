# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The folder layouts in which people download data sets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bundle.data.bids import bids_name
from bundle.data.case_names import stem_of
from bundle.data.folders import files_below, matches
from bundle.data.images_below import LABELS, is_image
from bundle.errors import InputError


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


_BIDS = {"flair": "FLAIR", "t1": "T1w", "t1ce": "ce-[^_/]+(?:_[^/]+)?_T1w", "t2": "T2w", "dwi": "dwi"}

# what pipelines leave in derivatives, and no lesion is marked in
_NO_LESIONS = re.compile(r"_(?:desc-(?:brain|aseg|aparcaseg)|label-(?:brain|GM|WM|CSF)_)")


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
            f"{{root}}derivatives/**/{{stem}}_*{ending}.nii*"
            for ending in ("lesion_mask", "lesion_roi", "mask", "dseg", "roi")
        ),
        _BIDS,
        r"sub-[^/_]+",
        label_needed=False,
    ),
    # PATIENT/flair.nii.gz, PATIENT/seg.nii.gz, dataset.csv with the columns patient and split
    "lgg_flair": Layout(
        r"(?P<patient>[^/]+)/MODALITY",
        ("{patient}/seg.nii*",),
        {name: name for name in ("flair", "t1", "t1ce")},
        r"TCGA_[^/]+",
    ),
    # images anywhere; a label lies beside its image as IMAGE_seg, seg or the like, or as IMAGE in a folder "labels";
    # IMAGE_flair may have IMAGE_seg
    "folder": Layout(
        r"(?P<folder>(?:.*/)?)(?P<stem>(?P<without>[^/]*?)(?:[_-](?i:flair|t1w?|t1ce|t1gd|t2w?|dwi|trace))?)MODALITY",
        (
            *(f"{{folder}}{{stem}}[_-]{ending}.nii*" for ending in LABELS),
            *(f"{{folder}}{{without}}[_-]{ending}.nii*" for ending in LABELS),
            *("labels/{stem}.nii*", "{folder}seg.nii*", "{folder}lesion.nii*"),
        ),
        dict.fromkeys(("flair", "t1", "t1ce", "t2", "dwi"), ""),
        label_needed=False,
    ),
}


def _fitting(files: Sequence[str], pattern: str, groups: Mapping[str, str]) -> str | None:
    """The first file that fits a pattern filled with groups, whatever characters these have."""
    escaped = {name: re.sub(r"([*?[])", r"[\1]", value or "") for name, value in groups.items()}
    return next((path for path in files if matches(path, pattern.format(**escaped))), None)


def _may_mark_lesions(files: Sequence[str]) -> list[str]:
    """The files that may be labels: without brain masks, and without the tissues that lie beside these."""
    beside_brains = {os.path.dirname(path) for path in files if "_desc-brain" in os.path.basename(path)}

    def of_tissues(path: str) -> bool:
        folder, name = os.path.split(path)
        return folder in beside_brains and stem_of(path).endswith("_dseg") and "lesion" not in name

    return [path for path in files if not _NO_LESIONS.search(os.path.basename(path)) and not of_tissues(path)]


def _is_another_contrast(path: str, word: str, modality: str) -> bool:
    """Whether a name in BIDS says that the image is of another one; ``word`` is empty where names tell nothing."""
    name = bids_name(stem_of(path))
    return bool(word) and name is not None and name.contrast != modality


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
    name = re.compile(layout.image.replace("MODALITY", layout.modalities[modality]) + r"\.(?i:nii(?:\.gz)?)")
    files = files_below(root)
    labels = _may_mark_lesions(files)
    cases, faults = [], []
    seen: set[str] = set()
    for path in files:
        match = name.fullmatch(path) if matches(path, pattern) else None
        parts = Path(path).parts
        if match is None or {"derivatives", "labels"} & set(parts) or not is_image(path):
            continue
        if _is_another_contrast(path, layout.modalities[modality], modality):
            continue
        seen.update(parts)
        groups = match.groupdict()
        case = {"patient": groups.get("patient", ""), "image": path}
        label = next((found for p in layout.label if (found := _fitting(labels, p, groups)) and found != path), None)
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
        folders = {root / folder for path in files for folder in map(str, Path(path).parents)}
        folders = {path for path in folders if re.fullmatch(layout.case, path.name)}
        folders = {path for path in folders if "derivatives" not in path.relative_to(root).parts}
        faults += [
            f"{path}: no {modality} image of this layout; complete the case, or leave it out."
            for path in sorted(folders)
            if path.name not in seen
        ]
    return cases, faults
