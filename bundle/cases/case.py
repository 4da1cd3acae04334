# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the folder of a case holds: its one writer and its one reader."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from bundle.data.loading import PLACE
from bundle.data.volumes import half_of_range, on_grid_of, oriented_array, read_oriented, read_volume
from bundle.errors import InputError
from bundle.files import write_json, write_whole

# of every voxel of the scan: lesion or not (0, 1); squared error of the last reconstruction; that reconstruction, with
# the scan's intensities; iterations for which the voxel was hidden; error of the initial network; what was hidden when
# the refinement ended; lesion score; brain or not, where the skull was taken off; the coil's brightness that was taken
# out; where the threshold is uncertain, what is marked at the lowest that may be right (1), at the highest (2), or at
# both (3)
VOLUMES = (
    *("mask", "error", "reconstruction", "iterations", "initial_error", "hidden", "score"),
    *("brain_mask", "coil_field", "possible_lesions"),
)

# what the runs of this bundle, of whatever kind, write of a case, and the endings of the files
FILES = {
    "statistics": "statistics.json",
    **{name: f"{name}.nii.gz" for name in VOLUMES},
    "slice_scores": "slices.csv",
    "scores": "scores.json",
    "voxels": "voxels.npz",
    "slice_pictures": "slices.png",
    "shrinking": "film.png",
    "curve": "curve.png",
    "page": "report.html",
}

# volumes of a case; more would be in memory at once
PACKED_AT_ONCE = 2


def nifti_like(volume: MetaTensor, dtype: np.dtype, header: Mapping[str, Any]) -> nib.Nifti1Image:
    """A volume as a NIfTI image that every viewer shows on the scan.

    Args:
        volume: 1 x H x W x D, with the affine of the scan.
        dtype: the type that is stored.
        header: of the scan, the fields of ``PLACE`` by name: what is said there of the scan is said of the result.
            Where it is not of NIfTI, the affine is written as sform and, unless it is sheared, as qform.
    """
    voxels = np.asarray(volume[0].cpu()).astype(dtype)
    affine = np.asarray(volume.affine, dtype=float)
    if not all(name in header for name in PLACE):
        image = nib.Nifti1Image(voxels, affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
        if not np.allclose(image.get_qform(), affine, atol=1e-3):
            image.set_qform(None, 0)
        return image
    fields = {name: np.ravel(header[name]) for name in PLACE}
    sizes = fields.pop("dim")
    # an axis of length one after the third is kept
    shape = tuple(map(int, sizes[1 : 1 + int(sizes[0])]))
    if shape[:3] == voxels.shape and voxels.size == np.prod(shape):
        voxels = voxels.reshape(shape)
    image = nib.Nifti1Image(voxels, None)
    for name, value in fields.items():
        image.header[name] = value if len(value) > 1 else value[0]
    if not np.allclose(image.header.get_best_affine(), affine, atol=1e-3):
        # the reader has mended the header
        image.header.set_sform(affine, max(1, int(image.header["sform_code"])))
    return nib.Nifti1Image(image.dataobj, None, image.header)


class CaseFolder:
    """The folder of a case; it bears the name of the case, and so do all files in it.

    Args:
        path: of the folder, which need not exist before something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name

    def file(self, kind: str) -> Path:
        """Where a file of the case lies, ``kind`` being a key of ``FILES``."""
        return self.path / f"{self.name}_{FILES[kind]}"

    def has(self, kind: str) -> bool:
        """Whether there is a file of that kind."""
        return self.file(kind).is_file()

    def statistics(self) -> dict[str, Any]:
        """The figures and the facts of the case; see :py:class:`bundle.postprocessing.LesionStatisticsd`.

        Raises:
            InputError: when there are none.
        """
        try:
            return json.loads(self.file("statistics").read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.file('statistics')}: missing or damaged; give the output folder of a run that has ended."
            ) from error

    def scores(self) -> dict[str, Any]:
        """What an evaluation found of the case, NaN where it found nothing; see :py:meth:`write_scores`."""

        def with_nan(part: dict[str, Any]) -> dict[str, Any]:
            return {name: math.nan if value is None else value for name, value in part.items()}

        return json.loads(self.file("scores").read_text(), object_hook=with_nan)

    def voxels(self) -> dict[str, np.ndarray]:
        """The brain's voxels of an evaluation; see :py:class:`bundle.evaluation.ReconstructionScoresd`."""
        with np.load(self.file("voxels")) as file:
            return dict(file)

    def volume(self, name: str) -> np.ndarray:
        """One of ``VOLUMES``, W x H x D, axes towards left, posterior and superior."""
        return oriented_array(self.file(name))

    def scan(self) -> MetaTensor:
        """The scan itself, 1 x W x H x D, axes towards left, posterior and superior."""
        statistics = self.statistics()
        return read_oriented(statistics["image"], statistics.get("series", ""))

    def others(self, scan: MetaTensor) -> dict[str, np.ndarray]:
        """Further contrasts that the run used, by the word of ``--modality``, on the grid of :py:meth:`scan`."""
        paths = self.statistics().get("others") or {}
        return {name: np.asarray(on_grid_of(read_volume(path), scan)[0]) for name, path in paths.items()}

    def brain(self, scan: np.ndarray, found: np.ndarray | None) -> np.ndarray:
        """Where the brain is (bool), by the voxels of :py:meth:`scan` and by :py:meth:`found_brain`."""
        if found is not None:
            return found
        statistics = self.statistics()
        if "brain_mask" in statistics:
            return half_of_range(oriented_array(statistics["brain_mask"]))
        return scan > statistics.get("brain_floor", 0)

    def found_brain(self) -> np.ndarray | None:
        """The brain (bool) where the run took the skull off, else None."""
        return self.volume("brain_mask") > 0 if self.file("brain_mask").is_file() else None

    def label(self) -> np.ndarray | None:
        """The expert's mask (bool), None where the run did not know one."""
        path = self.statistics().get("label")
        return oriented_array(path) > 0 if path else None

    def write_results(
        self,
        volumes: Iterable[tuple[str, MetaTensor, np.dtype | str]],
        statistics: Mapping[str, Any],
        header: Mapping[str, Any],
    ) -> None:
        """Write the volumes and the statistics of the case, whole or not at all, in the place of an earlier result.

        Args:
            volumes: name (of ``VOLUMES``), volume in the grid of the scan and the type that is written, of one after
                the other: the next is asked for while the one before is written.
            statistics: plain data.
            header: of the scan, see :py:func:`nifti_like`.
        """
        unfinished = CaseFolder(self.path.with_name(f".{self.name}.unfinished") / self.name)
        shutil.rmtree(unfinished.path.parent, ignore_errors=True)
        try:
            unfinished.path.mkdir(parents=True)
            kinds = []
            # volumes are packed while the next one is brought to the grid of the scan
            with ThreadPoolExecutor(PACKED_AT_ONCE) as packing:
                packed: list[Future] = []
                for name, volume, dtype in volumes:
                    image = nifti_like(volume, np.dtype(dtype), header)
                    if len(packed) == PACKED_AT_ONCE:
                        packed.pop(0).result()
                    packed.append(packing.submit(nib.save, image, unfinished.file(name)))
                    kinds.append(name)
                for future in packed:
                    future.result()
            unfinished.file("statistics").write_text(json.dumps(statistics, indent=4) + "\n")
            # the old statistics go first and the new ones come last: where there are some, the rest is theirs
            self.clear()
            self.path.mkdir(exist_ok=True)
            for kind in (*kinds, "statistics"):
                os.replace(unfinished.file(kind), self.file(kind))
        finally:
            shutil.rmtree(unfinished.path.parent, ignore_errors=True)

    def write(self, kind: str, content: str | bytes) -> None:
        """Write a file that goes with the results: a table, pictures."""
        write_whole(self.file(kind), content)

    def write_scores(self, scores: Mapping[str, Any]) -> None:
        """Write what :py:meth:`scores` reads; see :py:class:`bundle.evaluation.ScoreTables`."""
        write_json(self.file("scores"), scores)

    def write_voxels(self, voxels: Mapping[str, np.ndarray]) -> None:
        """Write what :py:meth:`voxels` reads."""
        content = BytesIO()
        np.savez(content, **voxels)  # type: ignore[arg-type]  # mypy takes a name for the option of savez
        self.write("voxels", content.getvalue())

    def clear(self) -> None:
        """Remove the results; what somebody else has put into the folder stays."""
        for kind in FILES:
            self.file(kind).unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()


def finished_cases(output_dir: str | Path) -> Iterator[CaseFolder]:
    """The cases that runs have finished in a folder or below it, by path."""
    for path in sorted(Path(output_dir).rglob(f"*_{FILES['statistics']}")):
        case = CaseFolder(path.parent)
        # a run that was killed may leave a case that it was about to put in its place
        unfinished = any(part.startswith(".") for part in path.relative_to(output_dir).parts)
        if path == case.file("statistics") and not unfinished:
            yield case
