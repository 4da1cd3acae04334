# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A cohort of simulated people, written as NIfTI files with a datalist."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nibabel as nib
import torch
from tqdm import tqdm

from bundle.errors import InputError
from bundle.phantom.lesions import LESIONS
from bundle.phantom.people import AFFINE, simulate


def _write_person(folder: Path, seed: int, modality: str, lesion: str | None) -> dict[str, str]:
    """Simulate one person into ``folder``, unless that was done before; gives the person's datalist entry."""
    name = f"Simulated_{seed:05d}"
    image, label = folder / name / f"{name}_{modality}.nii.gz", folder / name / f"{name}_seg.nii.gz"
    entry = {"image": str(image.relative_to(folder))}
    if lesion is not None:
        entry |= {"label": str(label.relative_to(folder)), "disease": lesion}
    if not image.exists():
        image.parent.mkdir(parents=True, exist_ok=True)
        volumes = dict(zip((image, label), simulate(seed, modality, lesion)))
        # the image last: where it exists, all of the person does
        for path in (label, image) if lesion is not None else (image,):
            unfinished = path.with_name(f".{path.name}")
            nib.save(nib.Nifti1Image(volumes[path], AFFINE), unfinished)
            unfinished.rename(path)
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

    Raises:
        InputError: when there is no such kind.

    Returns:
        str: path of the datalist.
    """
    unknown = [kind for kind in kinds if kind not in LESIONS]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such kind of lesion; choose of {', '.join(LESIONS)}.")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    people: dict[str, list[tuple[int, str | None]]] = {
        "training": [(seed + i, None) for i in range(training)],
        "validation": [(seed + 10_000 + i, None) for i in range(validation)],
        "test": [(seed + 20_000 + i, kinds[i % len(kinds)]) for i in range(patients)],
    }
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        work = {
            split: [pool.submit(_write_person, root, number, modality, lesion) for number, lesion in members]
            for split, members in people.items()
        }
        everyone = [future for futures in work.values() for future in futures]
        for _ in tqdm(as_completed(everyone), total=len(everyone), desc="Simulating", unit="person"):
            pass
    datalist = root / "datalist.json"
    unfinished = root / ".datalist.json"
    unfinished.write_text(
        json.dumps({split: [future.result() for future in futures] for split, futures in work.items()}, indent=4) + "\n"
    )
    unfinished.rename(datalist)
    return str(datalist)
