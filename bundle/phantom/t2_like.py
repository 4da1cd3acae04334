# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""T2-like scans with the anatomy of real T1 scans: the same brain, its tissues as bright as T2 shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.interpolate import PchipInterpolator
from skimage.filters import threshold_multiotsu
from tqdm import tqdm

from bundle.data import read_datalist, read_on_grid, read_volume
from bundle.data.case_names import case_names
from bundle.data.datalists import read_splits
from bundle.data.volumes import half_of_range
from bundle.errors import InputError
from bundle.files import replaced, write_json

# relative brightness in T2 of what T1 shows darkest, between and brightest: fluid, grey matter, white matter
FLUID, GREY, WHITE = 1.0, 0.42, 0.29
GAIN = 800


def t2_like(t1: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A T2-like image of a T1 image: a falling curve of its intensities, through the means of three classes.

    Args:
        t1: intensities of a stripped brain, 0 outside of it.
        random: draws the brightness of the tissues (10 % up or down) and the noise.

    Returns:
        np.ndarray: int16, the shape of ``t1``, 0 outside of the brain and at least 1 in it.

    Raises:
        ValueError: when the brain has too few grey values for three classes.
    """
    brain = t1 > 0
    values = t1[brain].astype(float)
    highest = np.percentile(values, 99)
    classes = np.digitize(values, threshold_multiotsu(np.clip(values, 0, highest), 3))
    dark, middle, bright = (values[classes == number].mean() for number in range(3))
    fluid, grey, white = np.array([FLUID, GREY, WHITE]) * random.uniform(0.9, 1.1, 3)
    # what is darker than most fluid is a little brighter than it, and what is brighter than most white matter darker
    known = [0.0, 0.6 * dark, dark, middle, bright, max(1.2 * highest, 1.1 * bright), 4 * values.max()]
    shown = [1.15 * fluid, 1.1 * fluid, 0.9 * fluid, grey, white, 0.85 * white, 0.8 * white]
    image = PchipInterpolator(known, shown)(t1) * (1 + 0.02 * random.standard_normal(t1.shape))
    return np.where(brain, np.clip(np.rint(GAIN * image), 1, None), 0).astype(np.int16)


def _write(entry: dict[str, Any], folder: Path, number: int) -> dict[str, Any]:
    """Write the T2-like scan of an entry, unless it is there; gives the entry of it."""
    target = folder / f"{entry['case']}_t2_like.nii.gz"
    if not target.exists():
        t1 = read_volume(entry["image"], series=entry.get("series", ""))
        values = np.asarray(t1[0])
        if "brain_mask" in entry:
            brain = read_on_grid(entry["brain_mask"], "brain mask", t1)
            values = values * np.asarray(half_of_range(brain)[0])
        try:
            image = t2_like(values, np.random.RandomState(number))
        except ValueError as error:
            raise InputError(f"{entry['image']}: it has too few grey values for a T1 scan; leave it out.") from error
        with replaced(target) as unfinished:
            nib.save(nib.Nifti1Image(image, np.asarray(t1.affine, dtype=float)), unfinished)
    return {"image": str(target), **({"label": entry["label"]} if "label" in entry else {})}


def write_t2_like(folder: str, datalist: str) -> str:
    """Write T2-like scans of the T1 scans of a datalist, in the same splits and with the same labels.

    Scans that are there already are kept, so an interrupted call is finished by the same call.

    Args:
        folder: where the scans and ``datalist.json`` go.
        datalist: JSON; its T1 scans are stripped, or have brain masks.

    Returns:
        str: path of the new datalist.

    Raises:
        InputError: when the datalist cannot be used, or a scan cannot be read.
    """
    root = Path(folder)
    given = read_splits(datalist)
    splits = [split for split in ("training", "validation", "test") if given.get(split)]
    if not splits:
        raise InputError(f"{datalist}: it lists no scan for training, validation or test; give a datalist of T1 scans.")
    entries = [(split, entry) for split in splits for entry in read_datalist(datalist, split, modality="t1")]
    # names are unique in a split; scans of two splits may share one
    names = case_names([entry["image"] for _, entry in entries], [entry["case"] for _, entry in entries])
    root.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[dict[str, Any]]] = {split: [] for split in splits}
    for number, ((split, entry), name) in enumerate(zip(tqdm(entries, "Turning T1 over", unit="scan"), names)):
        written[split].append(_write({**entry, "case": name}, root.resolve(), number))
    target = root / "datalist.json"
    write_json(target, written)
    return str(target)
