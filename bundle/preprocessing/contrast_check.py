# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Whether a scan looks like the contrast that it is said to be, by where in the brain it is bright."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from scipy import ndimage
from scipy.stats import spearmanr

from bundle.preprocessing.box import box_of
from bundle.preprocessing.brain_mask import SKULL_ON

# what each modality may look like: of T2 the fluid may be cut off with the skull; diffusion images are not judged
LOOKS = {"flair": ("flair",), "t1": ("t1",), "t1ce": ("t1",), "t2": ("t2", "flair")}

WORDS = {
    "flair": ("FLAIR", "the depth of the brain is no brighter than its rim", "flair"),
    "t1": (
        "T1",
        "white matter, in the depth of the brain, is brighter than its rim",
        "t1 (or t1ce after contrast agent)",
    ),
    "t2": ("T2", "the fluid around the brain is bright", "t2, with weights of your own"),
}

# for speed: steps in which a scan is looked at, the most voxels that are ranked, and fewer tell nothing
_COARSE_MM = 2.0
_MOST = 15_000
_FEWEST = 100


class Brightness(NamedTuple):
    """Where a brain is bright.

    Attributes:
        depth: rank correlation of intensity and depth in tissue, -1 to 1: high in T1, where white matter is bright.
        rim: 90th percentile of the intensity just below the surface, in interquartile ranges from the median of the
            brain: high in T2, where fluid is bright.
    """

    depth: float
    rim: float


def brightness(
    image: np.ndarray, brain: np.ndarray, spacing: Sequence[float], limits: Mapping[str, Any]
) -> Brightness | None:
    """Where a brain is bright; None where too little of it is seen.

    Args:
        image: three axes.
        brain: bool, the shape of ``image``.
        spacing: millimetres per voxel.
        limits: ``tissue_mm``, the depths below the surface of the brain between which white and grey matter are
            compared; ``tissue_iqr``, interquartile ranges around the median beyond which there is fluid or a lesion;
            and ``rim_mm``, the depths between which fluid is looked for.
    """
    steps = [max(1, round(_COARSE_MM / mm)) for mm in spacing]
    every = tuple(slice(None, None, step) for step in steps)
    image, brain = image[every], brain[every]
    box = box_of(brain)
    image, brain = np.pad(image[box], 1), np.pad(brain[box], 1)
    inside = ndimage.binary_fill_holes(brain)
    depth = ndimage.distance_transform_edt(inside, sampling=[mm * step for mm, step in zip(spacing, steps)])
    low, median, high = np.percentile(image[brain], [25, 50, 75])
    if high <= low:
        return None
    relative = (image - median) / (high - low)
    (near, far), (shallow, deep) = limits["rim_mm"], limits["tissue_mm"]
    rim = brain & (depth > near) & (depth <= far)
    tissue = brain & (depth > shallow) & (depth < deep) & (np.abs(relative) < limits["tissue_iqr"])
    if min(rim.sum(), tissue.sum()) < _FEWEST:
        return None
    some = np.flatnonzero(tissue)[:: max(1, int(tissue.sum()) // _MOST)]
    correlation = float(spearmanr(relative.ravel()[some], depth.ravel()[some]).statistic)
    return Brightness(correlation, float(np.percentile(relative[rim], 90)))


def looks_like(seen: Brightness, limits: Mapping[str, Any]) -> str:
    """ "flair", "t1" or "t2"; empty where it is not clear.

    Args:
        seen: of the scan.
        limits: ``t2_rim``, above which the rim is one of T2; ``t1_depth``, above which the depth is one of T1;
            ``flair_depth``, below which it is one of FLAIR.
    """
    if seen.rim > limits["t2_rim"]:
        return "t2"
    if seen.depth > limits["t1_depth"]:
        return "t1"
    return "flair" if seen.depth < limits["flair_depth"] else ""


class ContrastCheckd(MapTransform):
    """Warn of a scan that looks like another contrast than the run is for. It is never refused.

    T1 before and after contrast agent look alike, and diffusion images are not judged.

    Args:
        keys: of the image, 1 x X x Y x Z, before its intensities are changed.
        modality: that the run is for.
        limits: see :py:func:`brightness` and :py:func:`looks_like`.
        mask_key: of the brain mask; where the skull seems to be on, nothing is said.

    The data gain a sentence in ``warnings`` where there is something to say.
    """

    def __init__(
        self, keys: KeysCollection, modality: str, limits: Mapping[str, Any], mask_key: str = "brain_mask"
    ) -> None:
        super().__init__(keys)
        self.modality = modality
        self.limits = dict(limits)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        mask = d[self.mask_key]
        expected = LOOKS.get(self.modality, ())
        if not expected or mask.meta.get(SKULL_ON):
            return d
        for key in self.key_iterator(d):
            spacing = [float(mm) for mm in affine_to_spacing(d[key].affine)]
            seen = brightness(np.asarray(d[key][0]), np.asarray(mask[0]) > 0, spacing, self.limits)
            found = looks_like(seen, self.limits) if seen is not None else ""
            if found and found not in expected:
                name, reason, remedy = WORDS[found]
                said = (
                    f"THE SCAN LOOKS LIKE {name} ({reason}), and this run is for {self.modality}: where it is {name}, "
                    f"the result is not to be trusted; give --modality {remedy}."
                )
                d["warnings"] = "\n".join(filter(None, [d.get("warnings", ""), said]))
        return d
