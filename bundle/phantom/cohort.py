# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A cohort of simulated people, written as NIfTI files with a datalist."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple, cast

import nibabel as nib
import numpy as np
import torch
from tqdm import tqdm

from bundle.errors import InputError
from bundle.files import replaced, write_json
from bundle.phantom.lesions import LESIONS
from bundle.phantom.people import simulate
from bundle.phantom.shapes import shapes_in
from bundle.phantom.template import AFFINE

# from the number of the first person of a split to that of the next
APART = 10_000


class Person(NamedTuple):
    """Someone to simulate.

    Attributes:
        seed: see :py:func:`bundle.phantom.people.simulate`.
        lesion: kind of lesion; None for a healthy person.
        shape: mask of real lesions instead; None for none.
    """

    seed: int
    lesion: str | None = None
    shape: Path | None = None

    @property
    def disease(self) -> str | None:
        """What the datalist says of it; None of a healthy person."""
        return self.lesion if self.shape is None else f"shape {self.shape.name}"


def _described(person: Person) -> bytes:
    """What the header of a label says of its lesions, in which there is room for 80 bytes."""
    return (person.disease or "").encode()[:79]


def _label_of(folder: Path, person: Person) -> Path:
    return folder / f"Simulated_{person.seed:05d}" / f"Simulated_{person.seed:05d}_seg.nii.gz"


def _check_kept(folder: Path, patients: Sequence[Person]) -> None:
    """Refuse to take somebody who is there already for a patient with other lesions.

    Raises:
        InputError: naming the first.
    """
    for person in patients:
        label = _label_of(folder, person)
        header = cast(nib.Nifti1Image, nib.load(label)).header if label.exists() else {"descrip": np.array(b"")}
        there = bytes(header["descrip"].item())
        if there and there != _described(person):
            raise InputError(
                f"{label}: this person has lesions of another kind ({there.decode(errors='replace')}); give the kinds "
                "that the folder was made with, or another folder."
            )


def _check_is_ours(datalist: Path) -> None:
    """Refuse to replace a datalist of somebody else.

    Raises:
        InputError: naming it.
    """
    if not datalist.exists():
        return
    try:
        splits = json.loads(datalist.read_text()).values()
        images = [Path(entry["image"]).name for entries in splits for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError):
        images = [""]
    if not all(name.startswith("Simulated_") for name in images):
        raise InputError(
            f"{datalist}: it lists scans that were not simulated, and it would be replaced; choose another folder."
        )


def _write_person(folder: Path, person: Person, modality: str) -> dict[str, str]:
    """Simulate one person into ``folder``, unless that was done before; gives the person's datalist entry."""
    label = _label_of(folder, person)
    image = label.with_name(label.name.replace("_seg.", f"_{modality}."))
    entry = {"image": str(image.relative_to(folder))}
    if person.disease is not None:
        entry |= {"label": str(label.relative_to(folder)), "disease": person.disease}
    if not image.exists():
        image.parent.mkdir(parents=True, exist_ok=True)
        volumes = dict(zip((image, label), simulate(person.seed, modality, person.lesion, person.shape)))
        # the image last: where it exists, all of the person does
        for path in (label, image) if "label" in entry else (image,):
            volume = nib.Nifti1Image(volumes[path], AFFINE)
            if path == label:
                volume.header["descrip"] = _described(person)
            with replaced(path) as unfinished:
                nib.save(volume, unfinished)
    return entry


def write_cohort(
    folder: str,
    modality: str = "flair",
    training: int = 48,
    validation: int = 8,
    patients: int = 24,
    seed: int = 0,
    workers: int = 2,
    kinds: Sequence[str] = ("glioma", "stroke", "ms"),
    lesion_shapes: str | None = None,
) -> str:
    """Simulate healthy people for training and validation and patients for testing, and list them.

    People already there are kept, so an interrupted call is finished by the same call.

    Args:
        folder: where ``Simulated_NNNNN/`` folders and ``datalist.json`` go.
        modality: "flair", "t1" or "t2".
        training: healthy people in the split "training".
        validation: healthy people in the split "validation".
        patients: patients in the split "test".
        seed: number of the first person; the splits are 10 000 numbers apart, so they never share a person.
        workers: processes at work at once.
        kinds: of lesions, which the patients have in turn: glioma-like, stroke-like, multiple-sclerosis-like ("ms"),
            and strokes of less than 1 ml ("small_stroke").
        lesion_shapes: folder of masks of real lesions that the patients have in turn instead, by name; see
            :py:func:`bundle.phantom.shapes.shapes_in`.

    Raises:
        InputError: when there is no such kind, or no such mask; when nobody is asked for, or more people than there
            are numbers for; when somebody who is there already has other lesions, or ``datalist.json`` is of others.

    Returns:
        str: path of the datalist.
    """
    if max(training, validation) > APART or seed + 2 * APART + patients > 2**32:
        raise InputError(
            f"--seed {seed}: people have numbers below 2^32, {APART} of them for a split; ask for fewer people, or "
            "give a smaller seed."
        )
    if not training + validation + patients:
        raise InputError("0 people were asked for; give a number as --training, --validation or --patients.")
    unknown = [kind for kind in kinds if kind not in LESIONS]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such kind of lesion; choose of {', '.join(LESIONS)}.")
    shapes = shapes_in(lesion_shapes) if lesion_shapes else []
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    patient_seeds = range(seed + 2 * APART, seed + 2 * APART + patients)
    people = {
        "training": [Person(seed + i) for i in range(training)],
        "validation": [Person(seed + APART + i) for i in range(validation)],
        "test": [
            Person(number, shape=shapes[i % len(shapes)]) if shapes else Person(number, kinds[i % len(kinds)])
            for i, number in enumerate(patient_seeds)
        ],
    }
    datalist = root / "datalist.json"
    _check_is_ours(datalist)
    _check_kept(root, people["test"])
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        work = {
            split: [pool.submit(_write_person, root, person, modality) for person in members]
            for split, members in people.items()
        }
        everyone = [future for futures in work.values() for future in futures]
        for _ in tqdm(as_completed(everyone), total=len(everyone), desc="Simulating", unit="person"):
            pass
    entries = {split: [future.result() for future in futures] for split, futures in work.items()}
    write_json(datalist, entries)
    return str(datalist)
