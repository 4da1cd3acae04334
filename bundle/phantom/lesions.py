# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Simulated lesions with ground truth: glioma-like, stroke-like and scattered multiple-sclerosis-like ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

# relative intensity of lesion tissue, on the scale on which phantom.CONTRASTS describes healthy tissue
APPEARANCE = {
    "flair": {"oedema": 0.98, "core": 0.75, "cyst": 0.30, "infarct": 0.95, "plaque": 1.00},
    "t1": {"oedema": 0.62, "core": 0.50, "cyst": 0.35, "infarct": 0.45, "plaque": 0.68},
    "t2": {"oedema": 0.85, "core": 0.80, "cyst": 0.98, "infarct": 0.90, "plaque": 0.88},
}


class Lesion(NamedTuple):
    """One patient's lesions on the grid of the tissue maps.

    Attributes:
        parts: share of each kind of lesion tissue (a key of ``APPEARANCE``) in each voxel, 0 to 1, painted in order.
        centre: voxel from which tissue is pushed away.
        push: largest displacement of the tissue around the lesion, in voxels; zero when it pushes nothing.
        reach: distance, in voxels, at which the displacement is largest.
    """

    parts: dict[str, np.ndarray]
    centre: np.ndarray
    push: float
    reach: float


def smooth_noise(shape: tuple[int, ...], scale: float, random: np.random.RandomState) -> np.ndarray:
    """Random field with zero mean, unit variance and a correlation length of about ``scale`` voxels."""
    # smoothed on a grid of half the length, then interpolated: the interpolation's own grid does not show
    coarse = [int(np.ceil(2 * size / scale)) + 4 for size in shape]
    field = ndimage.gaussian_filter(random.standard_normal(coarse).astype(np.float32), 1.4)
    zoomed = F.interpolate(torch.from_numpy(field)[None, None], size=shape, mode="trilinear", align_corners=True)
    # numpy's sums, unlike torch's, do not depend on the number of threads: a person is the same everywhere
    values = zoomed[0, 0].numpy()
    return (values - values.mean()) / values.std()


def _soft(inside: np.ndarray, width: float) -> np.ndarray:
    """Smooth step from 0 (outside, negative values) to 1 over about ``width``."""
    return 1.0 / (1.0 + np.exp(-np.clip(inside / width, -30, 30)))


def _distance(shape: tuple[int, ...], centre: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    return np.sqrt(sum(((axis - c) / s) ** 2 for axis, c, s in zip(axes, centre, stretch))).astype(np.float32)


def _random_voxel(where: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    candidates = np.flatnonzero(where)
    return np.array(np.unravel_index(candidates[random.randint(len(candidates))], where.shape), dtype=float)


def glioma(tissue: dict[str, np.ndarray], random: np.random.RandomState) -> Lesion:
    """Bright oedema that follows the white matter around a mixed core, sometimes with a cyst; pushes tissue away.

    Args:
        tissue: maps "gm", "wm", "csf" and "ventricle", 0 to 1, 1 mm voxels.
        random: source of every random choice.
    """
    shape = tissue["wm"].shape
    centre = _random_voxel((tissue["wm"] > 0.7) & (tissue["ventricle"] < 0.05), random)
    radius = random.uniform(11, 24)
    distance = _distance(shape, centre, random.uniform(0.8, 1.25, 3))
    rough = smooth_noise(shape, 18, random) * 3.5 + smooth_noise(shape, 7, random) * 1.5
    core = _soft(radius - distance + rough, 0.8)
    spread = random.uniform(6, 16)
    brain = tissue["wm"] + tissue["gm"]
    follow = 0.35 + 0.65 * ndimage.gaussian_filter(tissue["wm"], 1.5)
    oedema = _soft((radius + spread - distance) * follow - (1 - follow) * 6 + rough, 1.0) * np.clip(brain, 0, 1)
    parts = {"oedema": oedema, "core": core * np.clip(brain + 0.3, 0, 1) * random.uniform(0.6, 1.0)}
    if random.uniform() < 0.5:
        cyst_centre = centre + random.uniform(-0.35, 0.35, 3) * radius
        parts["cyst"] = _soft(radius * random.uniform(0.3, 0.55) - _distance(shape, cyst_centre, np.ones(3)), 0.7)
    return Lesion(parts, centre, push=random.uniform(1.5, 6.0), reach=radius + spread)


def stroke(
    tissue: dict[str, np.ndarray],
    random: np.random.RandomState,
    radius_range: tuple[float, float] = (6.0, 28.0),
    roughness: float = 2.5,
) -> Lesion:
    """A wedge of infarcted cortex and white matter that stays within one hemisphere; sized from 1 to about 100 ml."""
    shape = tissue["wm"].shape
    centre = _random_voxel(tissue["gm"] > 0.7, random)
    radius = np.exp(random.uniform(*np.log(radius_range)))
    inside = radius - _distance(shape, centre, random.uniform(0.7, 1.4, 3)) + smooth_noise(shape, 9, random) * roughness
    midline = (shape[0] - 1) / 2
    side = np.sign(centre[0] - midline) or 1.0
    inside = np.minimum(inside, side * (np.arange(shape[0]) - midline)[:, None, None])
    brain = np.clip(tissue["wm"] + tissue["gm"], 0, 1)
    return Lesion({"infarct": _soft(inside, 0.8) * brain}, centre, push=0.0, reach=1.0)


def multiple_sclerosis(tissue: dict[str, np.ndarray], random: np.random.RandomState) -> Lesion:
    """Four to twenty small plaques in the white matter, most of them near the ventricles; 2 to 7 mm in radius."""
    shape = tissue["wm"].shape
    near = ndimage.distance_transform_edt(tissue["ventricle"] < 0.4)
    periventricular = (tissue["wm"] > 0.6) & (near > 2) & (near < 12)
    anywhere = (tissue["wm"] > 0.85) & (tissue["ventricle"] < 0.05)
    plaques = np.zeros(shape, np.float32)
    for _ in range(random.randint(4, 21)):
        centre = _random_voxel(periventricular if random.uniform() < 0.65 else anywhere, random)
        radius = np.exp(random.uniform(np.log(2.0), np.log(6.0)))
        box = tuple(slice(max(0, int(c) - 12), int(c) + 13) for c in centre)
        start = np.array([b.start for b in box])
        local = plaques[box]
        inside = radius - _distance(local.shape, centre - start, random.uniform(0.7, 1.3, 3))
        inside += smooth_noise(local.shape, 4, random) * 0.5
        np.maximum(local, _soft(inside, 0.5) * np.clip(tissue["wm"][box] * 1.2, 0, 1), out=local)
    return Lesion({"plaque": plaques}, np.zeros(3), push=0.0, reach=1.0)


def small_stroke(tissue: dict[str, np.ndarray], random: np.random.RandomState) -> Lesion:
    """A stroke of less than 1 ml."""
    return stroke(tissue, random, radius_range=(3.0, 5.0), roughness=0.6)


LESIONS = {"glioma": glioma, "stroke": stroke, "ms": multiple_sclerosis, "small_stroke": small_stroke}
