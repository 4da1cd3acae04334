# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The figures that describe a lesion mask."""

from __future__ import annotations

import platform
from collections.abc import Hashable, Mapping
from typing import Any

import monai
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from skimage import measure

from bundle import __version__
from bundle.data.scan import UNORIENTED
from bundle.postprocessing.agreement import agreement
from bundle.preprocessing.brain_mask import BRAIN_FLOOR
from bundle.preprocessing.intensities import BACKGROUND


def millilitres_per_voxel(affine: Any) -> float:
    """Volume of a voxel, from the affine in millimetres."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=float)[:3, :3]))) / 1000.0


def _place(offset: np.ndarray, oriented: bool) -> str:
    """Words for an offset in millimetres from the centre of the brain, towards right, anterior and superior."""
    if not oriented:
        return "not known"
    words = [("left", "right"), ("posterior", "anterior"), ("inferior", "superior")]
    named = [pair[int(mm > 0)] for pair, mm in zip(words, offset) if abs(mm) > 5]
    return ", ".join(named) or "central"


def lesion_statistics(
    mask: np.ndarray, affine: np.ndarray, brain_centre: np.ndarray | None = None, oriented: bool = True
) -> dict[str, Any]:
    """Volume, number, size and place of the lesions of a mask.

    Args:
        mask: the lesion mask of a volume, three axes.
        affine: from voxels to world millimetres (right, anterior, superior).
        brain_centre: in world millimetres; with it, places are also given in words.
        oriented: whether it is known where left and right, front and back are; else no side is named.

    Returns:
        dict: ``lesion_ml``, ``lesion_voxels``, ``number_of_components`` and ``components`` (largest
        first; 26-connected), each with ``volume_ml``, ``voxels``, ``centre_mm``, ``centre_voxel`` and, where the centre
        of the brain is known, ``place`` in words.
    """
    labels = measure.label(mask > 0, connectivity=3)
    millilitres = millilitres_per_voxel(affine)
    components = []
    for region in measure.regionprops(labels):
        centre = affine[:3, :3] @ np.array(region.centroid) + affine[:3, 3]
        component: dict[str, Any] = {
            "volume_ml": round(float(region.area) * millilitres, 4),
            "voxels": int(region.area),
            "centre_mm": [round(float(mm), 1) for mm in centre],
            "centre_voxel": [round(float(index), 1) for index in region.centroid],
        }
        if brain_centre is not None:
            component["place"] = _place(centre - brain_centre, oriented)
        components.append(component)
    components.sort(key=lambda component: -component["voxels"])
    voxels = int((mask > 0).sum())
    return {
        "lesion_ml": round(voxels * millilitres, 4),
        "lesion_voxels": voxels,
        "number_of_components": len(components),
        "components": components,
    }


def _expert(mask: MetaTensor, label: Any) -> dict[str, Any]:
    """Volume of the expert's mask and Dice of the model's with it, where there is one; no Dice without a lesion."""
    if not isinstance(label, MetaTensor) or label.shape != mask.shape:
        return {}
    model, expert = (torch.as_tensor(volume).cpu().numpy() > 0 for volume in (mask, label))
    lesion = int(expert.sum())
    return {
        "expert": {
            "lesion_ml": round(lesion * millilitres_per_voxel(mask.affine), 4),
            "dice": round(agreement(model, expert), 4) if lesion else None,
        }
    }


def _stations(data: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Times of the stations so far, where they were taken."""
    rounded = {
        name: {unit: round(float(value), 3) for unit, value in figures.items()}
        for name, figures in data.get("stations", {}).items()
    }
    return {"stations": rounded} if rounded else {}


class LesionStatisticsd(MapTransform):
    """Gather what is known of a case in ``statistics``, plain data that can be written as JSON.

    Args:
        keys: of the lesion mask, in the grid of the scan.
        largest_share: of the brain that lesions may take; where they take more, a warning says so.
        modality: contrast of the image.
        weights_note: a sentence that is added to the warnings of each case, see
            :py:func:`bundle.model.card.weights_note`.
        image_key: of the preprocessed image.
    """

    def __init__(
        self,
        keys: KeysCollection,
        largest_share: float,
        modality: str,
        weights_note: str = "",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.largest_share = largest_share
        self.modality = modality
        self.weights_note = weights_note
        self.image_key = image_key

    def _warnings(self, data: Mapping[Hashable, Any], lesion_ml: float, brain_ml: float) -> list[str]:
        """What was said of the case, and whether its lesions are too large to be believed."""
        said = [sentence for sentence in data.get("warnings", "").split("\n") if sentence]
        if lesion_ml > self.largest_share * brain_ml:
            said.append(
                f"Lesions take {100 * lesion_ml / brain_ml:.0f} % of the brain, which is hardly possible: look at the "
                "scan, its contrast (--modality) and its brain mask."
            )
        possible_ml = max(data.get("refinement", {}).get("uncertain_ml", [0.0]))
        if not lesion_ml and possible_ml:
            said.append(
                f"No lesion is marked, but {possible_ml:.1f} ml score nearly as high as one: look at the thin yellow "
                "outlines in the report."
            )
        return said + ([self.weights_note] if self.weights_note else [])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        # the label is a volume in an evaluation, and can be anything in a request of MONAI Label
        volumes = [(name, d.get(name)) for name in (self.image_key, "label", "brain_mask")]
        files = {name: str(v.meta.get("filename_or_obj", "")) for name, v in volumes if isinstance(v, MetaTensor)}
        # a brain mask made from the image bears its name
        if files.get("brain_mask") == files[self.image_key]:
            del files["brain_mask"]
        inside = torch.as_tensor(image[0]) > BACKGROUND
        brain_ml = int(inside.sum()) * millilitres_per_voxel(image.affine)
        brain = inside.nonzero().double().mean(dim=0).cpu().numpy()
        to_world = np.asarray(image.affine, dtype=float)
        for key in self.key_iterator(d):
            mask = d[key]
            affine = np.asarray(mask.affine, dtype=float)
            oriented = not int(image.meta.get(UNORIENTED, 0))
            centre = to_world[:3, :3] @ brain + to_world[:3, 3]
            lesions = lesion_statistics(np.asarray(mask[0].cpu()), affine, centre, oriented)
            floor = float(image.meta.get(BRAIN_FLOOR, 0))
            d["statistics"] = {
                "case": d.get("case", ""),
                **files,
                "modality": self.modality,
                **({"series": d["series"]} if d.get("series") else {}),
                **({"others": dict(d["others"])} if d.get("others") else {}),
                **({"brain_floor": floor} if floor else {}),
                "brain_ml": round(brain_ml, 1),
                **lesions,
                **_expert(mask, d.get("label")),
                "voxel_mm": [round(float(mm), 4) for mm in affine_to_spacing(affine)],
                "refinement": d.get("refinement", {}),
                **_stations(d),
                "warnings": self._warnings(d, lesions["lesion_ml"], brain_ml),
                "versions": {
                    "bundle": __version__,
                    "monai": monai.__version__,
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
                "notice": "Research use only. Not a medical device.",
            }
        return d
