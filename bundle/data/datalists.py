# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Which volumes a run works on."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from glob import escape, glob
from itertools import count
from pathlib import Path
from typing import Any

from bundle.data.volumes import NIFTI
from bundle.errors import InputError

# endings of files that lie beside images and are none
LABELS = ("seg", "mask", "label", "labels", "dseg", "lesion", "lesions", "roi")


NOT_IMAGES = (*LABELS, "error", "reconstruction", "iterations", "score")


# what a datalist names of a volume
PATHS = ("image", "label", "brain_mask", "pseudo_label")


# what it may tell of a patient
WORDS = ("disease",)


def stem_of(path: str | Path) -> str:
    """Name of an image without its ending."""
    name = Path(path).name
    for ending in sorted(NIFTI, key=len, reverse=True):
        name = name.removesuffix(ending)
    return name


def is_image(path: str | Path) -> bool:
    """Whether a file is, by its name, a NIfTI image and no mask or result that lies beside one."""
    return str(path).endswith(NIFTI) and not stem_of(path).lower().replace("-", "_").endswith(NOT_IMAGES)


def volumes_in(folder: Path, pattern: str) -> list[str]:
    """All NIfTI images below a folder, without the masks and results that lie beside them."""
    # glob.glob follows symbolic links, of which data sets under version control consist; Path.glob does not
    return sorted(path for path in glob(os.path.join(escape(str(folder)), pattern), recursive=True) if is_image(path))


def with_case_names(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each volume a name that is unique in the run: its file's, with as many folders before it as needed."""
    names = {str(entry["image"]): entry.get("case", stem_of(entry["image"])) for entry in entries}
    depth = 1
    while len(set(names.values())) < len(names) and depth < 20:
        depth += 1
        names = {
            image: "_".join([*Path(image).resolve().parts[-depth:-1], stem_of(image)]).strip("/_") for image in names
        }
    # an image that is listed twice (with two brain masks, say), or under two names
    given: list[str] = []
    for entry in entries:
        name = names[str(entry["image"])]
        if name in given:
            taken = {*given, *names.values()}
            name = next(other for number in count(2) if (other := f"{name}_{number}") not in taken)
        given.append(name)
    return [{**entry, "case": name} for entry, name in zip(entries, given)]


def absolute_paths(entry: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """What an entry of a datalist names of a volume (``PATHS``), its paths taken relative to a folder."""
    return {key: str(folder / entry[key]) for key in PATHS if key in entry}


def read_datalist(path: str, split: str, required: Sequence[str] = ("image",)) -> list[dict[str, Any]]:
    """Read one split of a datalist: JSON, ``{"training": [{"image": path, ...}, ...], ...}``.

    Args:
        path: of the JSON file. Paths within it are taken relative to its folder.
        split: "training", "validation" or "test", or another key of the file.
        required: keys that every entry must have.

    Returns:
        list: one dictionary a volume; all of ``PATHS``, where given, are absolute paths,
        ``disease``, where given, is its name, and ``case`` is a name that is unique in the list. Other keys of the file
        are left out.

    Raises:
        InputError: when the file is missing, no JSON, or without that split.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file; give the path of a datalist (JSON).")
    try:
        splits = json.loads(file.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); correct the datalist.") from error
    entries = splits.get(split) if isinstance(splits, dict) else None
    if not entries:
        raise InputError(
            f'{path}: the split "{split}" is missing or empty; give the datalist a key "{split}" with a list of '
            f"objects that have {' and '.join(required)}, or choose another split."
        )
    incomplete = [entry for entry in entries if not (isinstance(entry, dict) and set(required) <= set(entry))]
    if incomplete:
        raise InputError(
            f'{path}: {len(incomplete)} of {len(entries)} entries of the split "{split}" are without '
            f"{' or '.join(required)}, the first being {json.dumps(incomplete[0])}; complete them, or take them out."
        )
    here = file.resolve().parent
    # nothing else: what a datalist also tells of a volume must not meet the keys that transforms add
    words = [{key: str(entry[key]) for key in WORDS if key in entry} for entry in entries]
    return with_case_names([{**absolute_paths(entry, here), **said} for entry, said in zip(entries, words)])


def training_data(
    dataset_dir: str,
    datalist: str,
    split: str,
    pattern: str = "**/*",
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """List the volumes of "training" or "validation".

    Args:
        dataset_dir: a folder. When there is no datalist in it, all NIfTI images below it are taken for healthy scans,
            and a share of its subjects (its first level of folders, or its files) is held out for validation.
        datalist: path of a datalist, by default ``datalist.json`` in ``dataset_dir``.
        split: "training" or "validation".
        pattern: which files of the folder to take, for instance ``**/*_flair.nii.gz``.
        validation_fraction: share of the subjects to hold out, at least one.
        seed: of the choice of these subjects.

    Raises:
        InputError: when there are not at least two subjects, or the datalist is at fault.
    """
    folder = Path(dataset_dir)
    default = folder / "datalist.json"
    # a datalist that the user names has to be there
    if datalist and (Path(datalist) != default or default.is_file()):
        return read_datalist(datalist, split)
    if not folder.is_dir():
        raise InputError(f"{dataset_dir}: no such folder; give the folder of your healthy scans as --dataset_dir.")
    subjects: dict[str, list[str]] = {}
    for path in volumes_in(folder, pattern):
        subjects.setdefault(Path(path).relative_to(folder).parts[0], []).append(path)
    needed = 2 if validation_fraction < 1 else 1
    if len(subjects) < needed:
        raise InputError(
            f"{dataset_dir}: NIfTI images of {len(subjects)} subjects were found with the pattern {pattern}; "
            f"at least {needed} needed."
        )
    names = sorted(subjects)
    random.Random(seed).shuffle(names)
    held_out = max(1, round(validation_fraction * len(names)))
    chosen = names[:held_out] if split == "validation" else names[held_out:]
    return [{"image": path} for name in sorted(chosen) for path in subjects[name]]
