# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From what the inferer returns to files in the grid of the scan, with the figures that describe them."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelWriter
from monai.data.utils import affine_to_spacing
from monai.transforms import Invertd, MapTransform, SaveImaged
from monai.transforms.utils import convert_applied_interp_mode
from monai.utils import convert_to_dst_type
from skimage import measure

from bundle import __version__
from bundle.transforms import BACKGROUND

# what the inferer returns beside the mask, one channel each; the last one from a model with a judge
INFERRED = ("error", "reconstruction", "hidden_iterations", "initial_error", "score")
# what the runs of this bundle, of whatever kind, write of a case
OF_A_CASE = (
    "statistics.json",
    *(f"{name}.nii.gz" for name in ("mask", "error", "reconstruction", "iterations", "initial_error", "score")),
    *("slices.csv", "slices.png", "film.png", "curve.png"),
)
# figures of the refinement, and where the meta data have them
FIGURES = {"threshold": "threshold", "lesion_threshold": "lesion_threshold", "seconds": "refinement_seconds"}


class UnpackPredictiond(MapTransform):
    """Split the channels that :py:class:`bundle.inferer.IterativeMaskInferer` returns into one key each.

    The key keeps the mask; ``error``, ``reconstruction``, ``hidden_iterations``, ``initial_error`` and, from a model
    with a judge, ``score`` are added.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            packed = d[key]
            d.update(zip((key, *INFERRED), packed.split(1)))
            d["refinement"] = {
                name: float(np.ravel(packed.meta[entry])[0]) for name, entry in FIGURES.items() if entry in packed.meta
            }
        return d


class RestoreIntensityd(MapTransform):
    """Undo :py:class:`bundle.transforms.NormalizeBrainIntensityd`: the intensities of the scan, 0 outside the brain.

    Args:
        keys: normalised volumes on the grid of the image.
        image_key: of the preprocessed image, whose meta data hold ``intensity_high``.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        for key in self.key_iterator(d):
            restored = (d[key] / (-2 * BACKGROUND) + 0.5) * float(image.meta["intensity_high"])
            d[key] = torch.where(image.as_tensor().to(restored.device) > BACKGROUND, restored.clamp(min=0), 0.0)
        return d


class InvertLinearlyd(Invertd):
    """MONAI's ``Invertd`` that interpolates linearly, whatever the mode of the forward transforms was.

    Area averaging, right for shrinking an image, would give visible blocks on the way back.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in set(self.orig_keys):
            reference = d[key].clone()
            reference.applied_operations = convert_applied_interp_mode(
                d[key].applied_operations, mode="trilinear", align_corners=False
            )
            d[key] = reference
        inverted = super().__call__(d)
        return {**inverted, **{key: data[key] for key in set(self.orig_keys)}}


def _millilitres_a_voxel(affine: Any) -> float:
    return float(abs(np.linalg.det(np.asarray(affine, dtype=float)[:3, :3]))) / 1000.0


def _place(offset: np.ndarray) -> str:
    """Words for an offset in millimetres from the centre of the brain, towards right, anterior and superior."""
    words = [("left", "right"), ("posterior", "anterior"), ("inferior", "superior")]
    named = [pair[int(mm > 0)] for pair, mm in zip(words, offset) if abs(mm) > 5]
    return ", ".join(named) or "central"


def lesion_statistics(mask: np.ndarray, affine: np.ndarray, brain_centre: np.ndarray | None = None) -> dict[str, Any]:
    """Volume, number, size and place of the lesions of a mask.

    Args:
        mask: the lesion mask of a volume, three axes.
        affine: from voxels to world millimetres (right, anterior, superior).
        brain_centre: in world millimetres; with it, places are also given in words.

    Returns:
        dict: ``lesion_ml``, ``lesion_voxels``, ``number_of_components`` and ``components`` (largest
        first; 26-connected), each with ``volume_ml``, ``voxels`` and ``centre_mm``.
    """
    labels = measure.label(mask > 0, connectivity=3)
    millilitres = _millilitres_a_voxel(affine)
    components = []
    for region in measure.regionprops(labels):
        centre = affine[:3, :3] @ np.array(region.centroid) + affine[:3, 3]
        component = {
            "volume_ml": round(float(region.area) * millilitres, 4),
            "voxels": int(region.area),
            "centre_mm": [round(float(mm), 1) for mm in centre],
            "centre_voxel": [round(float(index), 1) for index in region.centroid],
        }
        if brain_centre is not None:
            component["place"] = _place(centre - brain_centre)
        components.append(component)
    components.sort(key=lambda component: -component["voxels"])
    voxels = int((mask > 0).sum())
    return {
        "lesion_ml": round(voxels * millilitres, 4),
        "lesion_voxels": voxels,
        "number_of_components": len(components),
        "components": components,
    }


class RefinementTraced(MapTransform):
    """Describe the course of the refinement, before the result leaves the grid of the model.

    Args:
        keys: of the mask that the refinement left.
        hidden_key: of the iterations for which each voxel was hidden.
        image_key: of the preprocessed image.
        max_iterations: the cap on iterations.

    ``refinement`` gains ``iterations`` (of the slice that took most), ``slices``, ``slices_at_cap``, ``cap_reached``,
    ``mask_ml_by_iteration`` (entry t - 1 is the volume hidden at iteration t, on the model's grid), and ``warnings`` a
    sentence where the cap was reached. What was hidden to the end counts, in the iterations for which each voxel was
    hidden, as hidden for all of them, so that these alone tell the whole course.
    """

    def __init__(
        self,
        keys: KeysCollection,
        hidden_key: str = "hidden_iterations",
        image_key: str = "image",
        max_iterations: int = 50,
    ) -> None:
        super().__init__(keys)
        self.hidden_key = hidden_key
        self.image_key = image_key
        self.max_iterations = max_iterations

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            mask, hidden = torch.as_tensor(d[key]) > 0, torch.as_tensor(d[self.hidden_key])
            millilitres = _millilitres_a_voxel(d[self.image_key].affine)
            by_slice = hidden.flatten(0, 2).amax(dim=0)
            iterations = int(by_slice.max())
            hidden = torch.where(mask, iterations, hidden)
            d[self.hidden_key] = convert_to_dst_type(hidden, d[self.hidden_key])[0]
            capped = int((by_slice >= self.max_iterations).sum())
            trace = [(hidden >= t).sum() for t in range(1, iterations + 1)]
            d["refinement"] = {
                **d.get("refinement", {}),
                "iterations": iterations,
                "slices": len(by_slice),
                "slices_at_cap": capped,
                "cap_reached": capped > 0,
                "mask_ml_by_iteration": [round(float(voxels) * millilitres, 4) for voxels in trace],
            }
            if capped:
                sentence = (
                    f"{capped} of {len(by_slice)} slices reached the cap of {self.max_iterations} iterations; "
                    "their masks were still shrinking."
                )
                d["warnings"] = "\n".join(filter(None, [d.get("warnings", ""), sentence]))
        return d


class LesionStatisticsd(MapTransform):
    """Gather what is known of a case in ``statistics``, plain data that can be written as JSON.

    Args:
        keys: of the lesion mask, in the grid of the scan.
        image_key: of the preprocessed image.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        # the label is a volume in an evaluation, and can be anything in a request of MONAI Label
        volumes = [(name, d.get(name)) for name in (self.image_key, "label", "brain_mask")]
        files = {name: str(v.meta.get("filename_or_obj", "")) for name, v in volumes if isinstance(v, MetaTensor)}
        # a brain mask made from the image bears its name
        if files.get("brain_mask") == files[self.image_key]:
            del files["brain_mask"]
        brain = (torch.as_tensor(image[0]) > BACKGROUND).nonzero().double().mean(dim=0).cpu().numpy()
        to_world = np.asarray(image.affine, dtype=float)
        for key in self.key_iterator(d):
            mask = d[key]
            affine = np.asarray(mask.affine, dtype=float)
            d["statistics"] = {
                "case": d.get("case", ""),
                **files,
                **lesion_statistics(np.asarray(mask[0].cpu()), affine, to_world[:3, :3] @ brain + to_world[:3, 3]),
                "voxel_mm": [round(float(mm), 4) for mm in affine_to_spacing(affine)],
                "refinement": d.get("refinement", {}),
                "warnings": [sentence for sentence in d.get("warnings", "").split("\n") if sentence],
                "versions": {
                    "bundle": __version__,
                    "monai": monai.__version__,
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
                "notice": "Research use only. Not a medical device.",
            }
        return d


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
