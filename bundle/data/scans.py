# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From what a user names (files, folders, a study) to the scans of a run."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from glob import escape, glob
from pathlib import Path
from typing import Any

from bundle.data.bids import NOT_RAW, BidsName, DerivedBrainMasks, bids_name, study_of
from bundle.data.case_names import IMAGES, stem_of
from bundle.data.datalists import of_contrasts, read_datalist, with_case_names
from bundle.data.folders import files_below
from bundle.data.images_below import dicom_folders, passed_over, volumes_in
from bundle.errors import InputError
from bundle.files import absolute

logger = logging.getLogger(__name__)

ALL = "**/*"


def _of_contrast(source: str, volumes: Sequence[str], modality: str) -> list[str]:
    """The raw scans of a contrast, as far as the names say what they are (those of BIDS do); other scans are kept."""
    raw = [path for path in volumes if not NOT_RAW & set(Path(path).relative_to(source).parts)] or list(volumes)
    names = {path: bids_name(stem_of(path)) for path in raw}
    chosen = [path for path, name in names.items() if name is None or name.contrast == modality]
    if raw and not chosen:
        others = Counter(name.contrast for name in names.values() if name is not None)
        raise InputError(
            f"{source}: no image of the contrast {modality} ({', '.join(f'{n} of {c}' for c, n in others.items())}); "
            "give the contrast as --modality, with weights for it as --ckpt_path."
        )
    return chosen


def scans_at(source: str, pattern: str = ALL, modality: str = "flair") -> list[str]:
    """The scans that a path stands for.

    Args:
        source: a scan; a folder of scans, such as a study in BIDS; or a folder with DICOM series.
        pattern: which files of a folder to take. By default all but those whose name says that they are masks,
            results, or of another contrast.
        modality: the contrast to take from a study in BIDS, a word of ``--modality``.

    Raises:
        InputError: when there is none.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder; give a scan, or a folder of scans, as --image.")
    if not path.is_dir():
        return [source]
    everything = volumes_in(path, ALL)
    if not everything:
        files = files_below(path)
        # files, but none with the name of an image, are read as DICOM
        if files and not any(file.lower().endswith(IMAGES) for file in files):
            return dicom_folders(path)
    found = _of_contrast(source, everything, modality) if pattern == ALL else volumes_in(path, pattern)
    if not found:
        raise InputError(
            f"{source}: no image found with the pattern {pattern}; give a folder with NIfTI or DICOM files."
        )
    return found


def _mask_by_pattern(image: Path, name: BidsName | None, pattern: str) -> str:
    """The one file that a pattern names for a scan."""
    entities: Mapping[str, str] = name.entities if name else {}
    words = {"name": stem_of(image), **{key: f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities}}
    for word, value in words.items():
        pattern = pattern.replace(f"{{{word}}}", escape(value))
    found = sorted(glob(os.path.join(escape(str(image.parent)), pattern), recursive=True))
    if len(found) != 1:
        raise InputError(
            f"{image}: {len(found)} brain masks match {pattern}; give a --brain_mask_pattern that names exactly one, "
            "from the folder of the scan ({name} is its name without ending, {sub} and {ses} are those of BIDS)."
        )
    return found[0]


def _described(image: str, brain_mask_pattern: str, of_study: bool, derived: DerivedBrainMasks) -> dict[str, Any]:
    """The entry of a scan: its brain mask, and where its results belong when it is part of a study in BIDS.

    What is wrong with the brain mask of one scan is its ``fault``, which ends no other.
    """
    path, name = Path(image), bids_name(stem_of(image))
    entry: dict[str, Any] = {"image": image}
    in_study = name if of_study and name is not None and study_of(path, name) is not None else None
    mask = None
    try:
        if brain_mask_pattern:
            mask = _mask_by_pattern(path, name, brain_mask_pattern)
        elif in_study is not None:
            mask = derived.of(path, in_study)
    except InputError as error:
        entry["fault"] = str(error)
    if mask is not None:
        entry["brain_mask"] = mask
    if in_study is not None:
        entry |= {"case": in_study.derivative, "subfolder": in_study.folder}
    return entry


class InferenceData:
    """The volumes to segment, found whenever they are asked for.

    See :py:func:`inference_data` for its arguments.

    Attributes:
        passed_over: once the volumes were asked for, sentences about the files of folders that were not taken.
    """

    def __init__(
        self,
        sources: Sequence[str],
        brain_mask: str,
        brain_mask_pattern: str,
        datalist: str,
        split: str,
        pattern: str,
        modality: str,
        series: str,
        images: Mapping[str, str],
        contrasts: Sequence[str],
    ) -> None:
        self.sources = [absolute(source) if source else source for source in sources]
        self.brain_mask = absolute(brain_mask) if brain_mask else ""
        self.brain_mask_pattern = brain_mask_pattern
        self.datalist = datalist
        self.split = split
        self.pattern = pattern
        self.modality = modality
        self.series = series
        self.images = {name: absolute(path) for name, path in images.items()}
        self.contrasts = contrasts
        self.passed_over: list[str] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.passed_over = []
        if self.datalist:
            yield from read_datalist(self.datalist, self.split, modality=self.modality, contrasts=self.contrasts)
            return
        pattern = "" if self.brain_mask else self.brain_mask_pattern
        also = {"brain_mask": self.brain_mask, "series": self.series}
        also = {key: value for key, value in also.items() if value}
        derived = DerivedBrainMasks()
        if self.images:
            (scan,) = of_contrasts([{"image": self.images}], "--image", self.modality, self.contrasts)
            entry = {**scan, **_described(scan["image"], pattern, False, derived), **also}
            if "fault" in entry:
                raise InputError(entry["fault"])
            yield from with_case_names([entry])
            return
        # a scan that is named twice, once by its folder, is one scan
        scans: dict[str, bool] = {}
        known: set[str] = set()
        folders: dict[str, set[str]] = {}
        for source in self.sources:
            found = scans_at(source, self.pattern, self.modality)
            of_folder = Path(source).is_dir()
            scans |= {path: of_folder for path in found if os.path.abspath(path) not in known}
            known |= set(map(os.path.abspath, found))
            if of_folder and not any(Path(path).is_dir() for path in found):
                folders[source] = set(found)
        if self.brain_mask and len(scans) > 1:
            raise InputError(
                f"{self.brain_mask}: one brain mask was given for {len(scans)} images; "
                'give a --brain_mask_pattern, or list each image with its "brain_mask" in a datalist.'
            )
        if self.series and (no_dicom := [path for path in scans if path.lower().endswith(IMAGES)]):
            raise InputError(f"--series {self.series}: {no_dicom[0]} is no DICOM series; leave it out.")
        entries = [{**_described(path, pattern, folder, derived), **also} for path, folder in scans.items()]
        faults = [entry["fault"] for entry in entries if "fault" in entry]
        if faults and len(faults) == len(entries):
            raise InputError(faults[0])
        used = {entry["brain_mask"] for entry in entries if "brain_mask" in entry}
        for source, taken in folders.items():
            self.passed_over += passed_over(Path(source), taken | used)
        for sentence in self.passed_over:
            logger.warning(sentence)
        yield from with_case_names(entries)


def inference_data(
    image: str | Sequence[str] | Mapping[str, str] = "",
    brain_mask: str = "",
    brain_mask_pattern: str = "",
    dataset_dir: str = "",
    datalist: str = "",
    split: str = "test",
    pattern: str = ALL,
    modality: str = "flair",
    series: str = "",
    contrasts: Sequence[str] = (),
) -> InferenceData:
    """List the volumes to segment, each with a unique name under "case".

    They are found when they are asked for, so that a workflow can be built and checked where no data are yet.

    Args:
        image: what :py:func:`scans_at` takes, or several of it; or one scan as paths by contrast. It goes before the
            others.
        brain_mask: brain mask of ``image``, when that is one volume.
        brain_mask_pattern: glob pattern of each scan's brain mask, from the folder of the scan; ``{name}`` in it is the
            scan's name without its ending, ``{sub}`` and ``{ses}`` are the first parts of a BIDS name. Without it, the
            masks that a study in BIDS has in ``derivatives``.
        dataset_dir: a folder, used when there is neither ``image`` nor ``datalist``.
        datalist: path of a datalist.
        split: which split of the datalist.
        pattern: which files of a folder to take.
        modality: the contrast to take from a study in BIDS.
        series: which DICOM series of a folder with several: its number in the list that an error shows, its UID or
            description.
        contrasts: which further contrasts of a scan to keep, where ``image`` or the datalist has several.

    Raises:
        InputError: when they are asked for, and there is nothing to segment or a brain mask is missing.
    """
    images = image if isinstance(image, Mapping) else {}
    sources = [image or dataset_dir] if isinstance(image, str) else list(image)
    return InferenceData(
        sources,
        brain_mask,
        brain_mask_pattern,
        "" if image else datalist,
        split,
        pattern,
        modality,
        str(series or ""),
        images,
        contrasts,
    )
