# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Datalists: files that name the scans of a run, of a training, or of a test."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.case_names import case_names, stem_of
from bundle.data.images_below import passed_over, volumes_in
from bundle.errors import InputError
from bundle.files import check_readable
from bundle.modalities import MODALITIES

logger = logging.getLogger(__name__)

# what a datalist names of a volume
PATHS = ("image", "label", "brain_mask", "pseudo_label")

# what it may tell of a patient, and which of the DICOM series of a folder is meant
WORDS = ("disease", "series")


def with_case_names(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each volume a name that is unique in the run; one that it has already stays where it is unique."""
    # a series that was chosen is part of the name: others of its folder have the same path
    stems = [
        entry.get("case", stem_of(entry["image"])) + (f"_{entry['series']}" if entry.get("series") else "")
        for entry in entries
    ]
    names = case_names([str(entry["image"]) for entry in entries], stems)
    return [{**entry, "case": name} for entry, name in zip(entries, names)]


def absolute_paths(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What an entry of a datalist names of a volume (``PATHS``), its paths taken relative to a folder."""

    def absolute(path: Any) -> Any:
        if isinstance(path, Mapping):
            return {name: str(folder / one) for name, one in path.items() if one}
        return str(folder / path)

    return {key: absolute(entry[key]) for key in PATHS if entry.get(key)}


def images_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """The paths of the images of an entry by contrast; one of which no contrast is told has the word ""."""
    image = entry.get("image")
    return {name: path for name, path in image.items() if path} if isinstance(image, Mapping) else {"": image or ""}


def of_contrasts(
    entries: Sequence[Mapping[str, Any]], where: str, modality: str, contrasts: Sequence[str]
) -> list[dict[str, Any]]:
    """Entries with one image each, that of a contrast, and the paths of further ones under "others".

    Args:
        entries: whose ``image`` is a path, or paths by contrast: ``{"flair": path, "t1": path}``.
        where: they are from, for sentences.
        modality: the contrast of ``image``, "" for the first one of an entry; entries without it are left out, and a
            warning counts them.
        contrasts: which further ones to keep, where an entry has them.

    Raises:
        InputError: when no entry is left, or one file is two contrasts.
    """
    chosen: list[dict[str, Any]] = []
    for entry in entries:
        images = images_of(entry)
        image = images.get(modality) or images.get("") or ("" if modality else next(iter(images.values()), ""))
        others = {name: images[name] for name in contrasts if name != modality and name in images}
        known = {os.path.realpath(image)} if others else set()
        for path in others.values():
            if os.path.realpath(path) in known:
                raise InputError(f"{where}: {path} is given as two contrasts of one scan; give each its own image.")
            known.add(os.path.realpath(path))
        if image:
            chosen.append({**entry, "image": image, **({"others": others} if others else {})})
    lacking = len(entries) - len(chosen)
    if not chosen:
        raise InputError(f"{where}: no entry has a {modality} image; give the contrast that they have as --modality.")
    if lacking:
        logger.warning(f"{where}: {lacking} of {len(entries)} entries have no {modality} image and are left out.")
    return chosen


def check_entry(entry: Any, number: int, where: str, required: Sequence[str]) -> None:
    """Refuse an entry that is no object, lacks what is required, or whose paths are no text.

    Raises:
        InputError: naming the entry.
    """
    shown = json.dumps(entry)[:200]
    if not isinstance(entry, dict):
        raise InputError(f"{where}, entry {number}: {shown} is no object; write {{{required[0]!r}: path}}.")
    if isinstance(entry.get("image"), Mapping):
        for name, path in entry["image"].items():
            if name not in MODALITIES or not (isinstance(path, str) or path is None):
                raise InputError(
                    f"{where}, entry {number}: its image has {json.dumps(path)[:50]} as {name!r}; give paths by "
                    f"contrast, of {', '.join(MODALITIES)}."
                )
        entry = {**entry, "image": next(filter(None, entry["image"].values()), None)}
    for key in PATHS:
        value = entry.get(key)
        if not (isinstance(value, str) and value.strip()) and (key in required or value not in (None, "")):
            fault = (
                f"has no {key}" if value in (None, "") else f"has {json.dumps(value)[:50]} as {key}, which is no path"
            )
            raise InputError(f"{where}, entry {number}: {shown} {fault}; give the path of one file in quotes.")


def read_datalist(
    path: str, split: str, required: Sequence[str] = ("image",), modality: str = "", contrasts: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Read one split of a datalist, see :py:func:`read_entries`, as the volumes of a run.

    Args:
        path: of the JSON file.
        split: of the file.
        required: keys that every entry must have.
        modality: which contrast to take where an entry has several, see :py:func:`of_contrasts`.
        contrasts: which further ones to keep.

    Returns:
        list: one dictionary per volume, with one ``image``, further ones by contrast in ``others``, and ``case``, a
        name that is unique in the list.

    Raises:
        InputError: see :py:func:`read_entries` and :py:func:`of_contrasts`.
    """
    entries = read_entries(path, split, required)
    return with_case_names(of_contrasts(entries, f'{path}: split "{split}"', modality, contrasts))


def read_splits(path: str) -> dict[str, Any]:
    """What a datalist holds by split, unchecked; empty where the file holds no object.

    Raises:
        InputError: when the file is missing or no JSON.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file; give the path of a datalist (JSON).")
    check_readable(file)
    try:
        splits = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); correct the datalist.") from error
    return splits if isinstance(splits, dict) else {}


def read_entries(path: str, split: str, required: Sequence[str] = ("image",)) -> list[dict[str, Any]]:
    """Read one split of a datalist: JSON, ``{"training": [{"image": path, ...}, ...], ...}``.

    An image may be paths by contrast, ``{"flair": path, "t1": path}``.

    Args:
        path: of the JSON file. Paths within it are taken relative to its folder; null is taken as not given.
        split: "training", "validation" or "test", or another key of the file.
        required: keys that every entry must have.

    Returns:
        list: one dictionary per volume; all of ``PATHS``, where given, are absolute paths, ``WORDS`` are kept. Other
        keys of the file are left out.

    Raises:
        InputError: when the file is missing, no JSON, without that split, or an entry is at fault.
    """
    entries = read_splits(path).get(split)
    if not entries or not isinstance(entries, list):
        raise InputError(
            f'{path}: the split "{split}" is missing or empty; give the datalist a key "{split}" with a list of '
            f"objects that have {' and '.join(required)}, or choose another split."
        )
    for number, entry in enumerate(entries, 1):
        check_entry(entry, number, f'{path}: split "{split}"', required)
    here = Path(os.path.abspath(path)).parent
    if "label" in required:
        check_splits(path)
    # nothing else: what a datalist also tells of a volume must not meet the keys that transforms add
    words = [{key: str(entry[key]) for key in WORDS if entry.get(key)} for entry in entries]
    return [{**absolute_paths(entry, here), **said} for entry, said in zip(entries, words)]


def check_splits(path: str) -> None:
    """Refuse a datalist by which a model would be trained, chosen and tested on the same scan.

    Args:
        path: of a datalist that :py:func:`read_datalist` can read.

    Raises:
        InputError: when a scan is in two of its splits "training", "validation" and "test".
    """
    splits = read_splits(path)
    split_of: dict[str, str] = {}
    for split in ("training", "validation", "test"):
        for entry in splits.get(split) or []:
            images = images_of(entry) if isinstance(entry, dict) else {}
            for image in (image for image in images.values() if image and isinstance(image, str)):
                scan = os.path.realpath(Path(path).absolute().parent / image)
                if split_of.setdefault(scan, split) != split:
                    raise InputError(
                        f'{path}: {image} is in the split "{split_of[scan]}" and in the split "{split}"; '
                        "take it out of one."
                    )


def training_data(
    dataset_dir: str,
    datalist: str,
    split: str,
    pattern: str = "**/*",
    validation_fraction: float = 0.1,
    seed: int = 0,
    modality: str = "",
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
        modality: which contrast to take of a datalist that has several.

    Raises:
        InputError: when there are not at least two subjects, or the datalist is at fault.
    """
    folder = Path(dataset_dir)
    default = folder / "datalist.json"
    # a datalist that the user names has to be there
    if datalist and (Path(datalist) != default or default.is_file()):
        entries = read_datalist(datalist, split, modality=modality)
        check_splits(datalist)
        return entries
    if not folder.is_dir():
        raise InputError(f"{dataset_dir}: no such folder; give the folder of your healthy scans as --dataset_dir.")
    subjects: dict[str, list[str]] = {}
    folder = folder.absolute()
    volumes = volumes_in(folder, pattern)
    if split == "training":
        for sentence in passed_over(folder, volumes):
            logger.warning(sentence)
    for path in volumes:
        subjects.setdefault(Path(path).relative_to(folder).parts[0], []).append(path)
    needed = 2 if validation_fraction < 1 else 1
    if len(subjects) < needed:
        raise InputError(
            f"{dataset_dir}: NIfTI images of {len(subjects)} subjects were found with the pattern {pattern}; "
            f"at least {needed} needed."
        )
    names = sorted(subjects)
    random.Random(seed).shuffle(names)
    # a share below all leaves somebody to learn from
    held_out = max(1, min(round(validation_fraction * len(names)), len(names) - int(validation_fraction < 1)))
    chosen = names[:held_out] if split == "validation" else names[held_out:]
    return with_case_names([{"image": path} for name in sorted(chosen) for path in subjects[name]])
