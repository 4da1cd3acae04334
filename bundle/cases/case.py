# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the folder of a case holds: its one writer and its one reader."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelWriter
from monai.transforms import MapTransform, SaveImaged

from bundle.data.volumes import oriented_array, oriented_brain, read_oriented

# what the runs of this bundle, of whatever kind, write of a case
OF_A_CASE = (
    "statistics.json",
    *(f"{name}.nii.gz" for name in ("mask", "error", "reconstruction", "iterations", "initial_error", "score")),
    *("slices.csv", "slices.png", "film.png", "curve.png"),
)


class SaveCased(SaveImaged):
    """Write the volumes and the statistics of a case into a folder of its own, whole or not at all.

    A kind of ``SaveImaged``, so that MONAI Label, which does its own saving, leaves it out.

    Args:
        keys: of the volumes to write, in the grid of the scan.
        output_dir: the folder of the case is made in it, named as the case is.
        postfixes: one a key; the file is ``<case>_<postfix>.nii.gz``.
        dtypes: one a key: the type that is written.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        postfixes: Sequence[str],
        dtypes: Sequence[str],
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.postfixes = postfixes
        self.dtypes = dtypes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        case = d["case"]
        unfinished = self.output_dir / f".{case}.unfinished"
        finished = self.output_dir / case
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        names = []
        for key, postfix, dtype in self.key_iterator(d, self.postfixes, self.dtypes):
            volume: MetaTensor = d[key]
            writer = NibabelWriter(output_dtype=np.dtype(dtype))
            writer.set_data_array(volume.cpu(), channel_dim=0)
            writer.set_metadata(volume.meta, resample=False)
            names.append(f"{case}_{postfix}.nii.gz")
            writer.write(str(unfinished / names[-1]))
        names.append(f"{case}_statistics.json")
        (unfinished / names[-1]).write_text(json.dumps(d["statistics"], indent=4) + "\n")
        finished.mkdir(exist_ok=True)
        # the statistics of an earlier run go first and those of this one come last: where they are, the rest is theirs
        for name in OF_A_CASE:
            (finished / f"{case}_{name}").unlink(missing_ok=True)
        for name in names:
            os.replace(unfinished / name, finished / name)
        unfinished.rmdir()
        return d


class Volumes(NamedTuple):
    """The volumes of a case on one grid, axes towards left, posterior, superior; ``label`` may be None."""

    image: np.ndarray
    brain: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    reconstruction: np.ndarray
    iterations: np.ndarray
    label: np.ndarray | None
    spacing: Sequence[float]


def read_case(folder: Path) -> tuple[dict[str, Any], Volumes]:
    """The statistics and the volumes of a case, with the expert's mask where the run knew it.

    Args:
        folder: of the case, as :py:class:`bundle.cases.case.SaveCased` writes it.
    """
    start = folder / folder.name
    statistics = json.loads(Path(f"{start}_statistics.json").read_text())
    names = ("mask", "error", "reconstruction", "iterations")
    results = {name: oriented_array(f"{start}_{name}.nii.gz") for name in names}
    image = read_oriented(statistics["image"])
    label = oriented_array(statistics["label"]) if statistics.get("label") else None
    spacing = [float(mm) for mm in image.pixdim]
    voxels = np.asarray(image[0])
    return statistics, Volumes(voxels, oriented_brain(statistics, voxels), label=label, spacing=spacing, **results)
