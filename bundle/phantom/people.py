# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Simulated people with the anatomy of the MNI template."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from monai.networks.blocks import Warp
from monai.transforms import KeepLargestConnectedComponent, RandBiasField, RandRicianNoise
from monai.transforms.utils import create_rotate, create_scale
from scipy import ndimage

from bundle.phantom.lesions import APPEARANCE, LESIONS, Lesion, smooth_noise
from bundle.phantom.shapes import on_template
from bundle.phantom.template import SHAPE, on_people_grid, template_image, turned

# relative intensity of healthy tissue, and how much of the fine detail of the T1 template shows in each contrast
CONTRASTS = {
    "flair": {"wm": 0.60, "gm": 0.74, "csf": 0.14, "detail": -0.25},
    "t1": {"wm": 0.95, "gm": 0.68, "csf": 0.22, "detail": 1.0},
    "t2": {"wm": 0.38, "gm": 0.55, "csf": 1.00, "detail": -0.5},
}


@lru_cache(maxsize=1)
def _template() -> dict[str, torch.Tensor]:
    """Tissue maps of the MNI152 template on the BraTS-like grid, float32, 1 x 240 x 240 x 155."""
    maps = {}
    for name in ("t1", "gm", "wm"):
        values = np.asarray(template_image(name).dataobj, dtype=np.float32)
        maps[name] = np.ascontiguousarray(turned(values) / 255.0)
    brain = ndimage.binary_fill_holes(maps["t1"] > 0.08)
    # sharpen the probabilities: an average of many brains has blurred cortex, a brain has not
    csf = np.clip(1 - maps["gm"] - maps["wm"], 0, 1) * brain
    sharp = {name: probability**1.6 for name, probability in (("gm", maps["gm"]), ("wm", maps["wm"]), ("csf", csf))}
    total = sum(sharp.values()) + 1e-6
    tissue = {name: probability / total * brain for name, probability in sharp.items()}
    expected = sum(CONTRASTS["t1"][name] * tissue[name] for name in tissue)
    tissue["detail"] = (maps["t1"] - expected) * brain
    tissue["brain"] = brain.astype(np.float32)
    # the ventricles: cerebrospinal fluid deep inside the brain
    deep = ndimage.distance_transform_edt(brain) > 22
    deep[:, :, :65] = False
    tissue["ventricle"] = ndimage.gaussian_filter(tissue["csf"] * deep, 1.0)
    return {name: on_people_grid(image) for name, image in tissue.items()}


def _displace(maps: dict[str, torch.Tensor], field: np.ndarray) -> dict[str, torch.Tensor]:
    names = list(maps)
    stacked = torch.cat([maps[name] for name in names])[None]
    warped = Warp(padding_mode="zeros")(stacked, torch.from_numpy(field)[None])[0]
    return {name: warped[i : i + 1] for i, name in enumerate(names)}


def _individual_field(random: np.random.RandomState) -> np.ndarray:
    """Displacement from the template to one person: head position, size and shape, and a smooth elastic part."""
    rotation = create_rotate(3, (random.uniform(-1, 1, 3) * (0.10, 0.06, 0.08)).tolist())
    matrix = (rotation @ create_scale(3, random.uniform(0.93, 1.07, 3).tolist()))[:3, :3] - np.eye(3)
    shift = random.uniform(-1, 1, 3) * (4, 4, 3)
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    offsets = [axis - (size - 1) / 2 for axis, size in zip(axes, SHAPE)]
    affine = [sum(matrix[row, axis] * offsets[axis] for axis in range(3)) + shift[row] for row in range(3)]
    elastic = [random.uniform(1.4, 2.8) * smooth_noise(SHAPE, 45, random) for _ in range(3)]
    fine = [random.uniform(0.4, 0.9) * smooth_noise(SHAPE, 22, random) for _ in range(3)]
    return np.stack([sum(parts) for parts in zip(affine, elastic, fine)]).astype(np.float32)


def _ventricle_field(ventricle: np.ndarray, displacement: float) -> np.ndarray:
    """Displacement that widens (positive) or narrows the ventricles by about ``displacement`` voxels."""
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(ventricle, 5.0))).astype(np.float32)
    return displacement * gradient / (np.sqrt((gradient**2).sum(axis=0)).max() + 1e-6)


def _mass_effect_field(lesion: Lesion) -> np.ndarray:
    """Displacement that pushes tissue away from the lesion's centre, fading with distance."""
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    offsets = [(axis - centre).astype(np.float32) for axis, centre in zip(axes, lesion.centre)]
    relative = np.sqrt(sum(offset**2 for offset in offsets)) / lesion.reach
    strength = -lesion.push / lesion.reach * np.exp(1 - relative)
    return np.stack([strength * offset for offset in offsets]).astype(np.float32)


def simulate(
    seed: int, modality: str = "flair", lesion: str | None = None, shape: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the skull-stripped scan of one person.

    Args:
        seed: the person; the same seed gives the same scan.
        modality: "flair", "t1" or "t2".
        lesion: None for a healthy person, else "glioma", "stroke" or "ms".
        shape: mask of real lesions in the space of the template, which this person has instead; see
            :py:mod:`bundle.phantom.shapes`. They move with the anatomy, and look like plaques.

    Returns:
        tuple: image (int16, 0 outside the brain) and lesion mask (uint8), both of shape ``SHAPE`` with ``AFFINE``.

    Raises:
        ValueError: when the modality or the kind of lesion is unknown.
    """
    if modality not in CONTRASTS:
        raise ValueError(f"Unknown modality {modality!r}: choose one of {', '.join(CONTRASTS)}.")
    if lesion is not None and lesion not in LESIONS:
        raise ValueError(f"Unknown lesion {lesion!r}: choose one of {', '.join(LESIONS)}, or None.")
    random = np.random.RandomState(seed)
    names = list(_template())
    maps = _template() if shape is None else _template() | {"shape": on_people_grid(turned(on_template(shape)))}
    maps = _displace(maps, _individual_field(random))

    # a skew towards wide ventricles, as age brings them
    field = _ventricle_field(maps["ventricle"][0].numpy(), displacement=random.gamma(2.0, 1.6) - 1.2)
    found = LESIONS[lesion]({name: maps[name][0].numpy() for name in names}, random) if lesion else None
    if found is not None and found.push > 0:
        field = field + _mass_effect_field(found)
    maps = _displace(maps, field)
    tissue = {name: maps[name][0].numpy() for name in names}
    if shape is not None:
        found = Lesion({"plaque": maps["shape"][0].numpy()}, np.zeros(3), push=0.0, reach=1.0)
    brain = ndimage.binary_opening(tissue["brain"] > 0.5, iterations=3)
    brain = KeepLargestConnectedComponent()(brain[None])[0].astype(bool)  # type: ignore[union-attr]

    contrast = {name: value * random.uniform(0.93, 1.07) for name, value in CONTRASTS[modality].items()}
    image = sum(contrast[name] * tissue[name] for name in ("wm", "gm", "csf")) + contrast["detail"] * tissue["detail"]
    solid = tissue["wm"] + tissue["gm"]
    image *= 1 + solid * (0.020 * smooth_noise(SHAPE, 22, random) + 0.018 * smooth_noise(SHAPE, 5, random))
    label = np.zeros(SHAPE, dtype=bool)
    if found is not None:
        for part, share in found.parts.items():
            target = APPEARANCE[modality][part] * random.uniform(0.90, 1.10)
            texture = 1 + 0.05 * smooth_noise(SHAPE, 7, random) + 0.03 * smooth_noise(SHAPE, 3, random)
            image = image * (1 - share) + share * target * texture
            label |= share > 0.5
    image = ndimage.gaussian_filter(np.clip(image, 0.02, None), random.uniform(0.35, 0.6))

    volume = torch.from_numpy(image.astype(np.float32))[None]
    bias = RandBiasField(degree=3, coeff_range=(-0.06, 0.06), prob=1.0)
    bias.set_random_state(seed)
    biased = bias(volume)
    noise = RandRicianNoise(prob=1.0, std=random.uniform(0.012, 0.03), sample_std=False)
    noise.set_random_state(seed)
    noisy = noise(biased)
    gain = random.uniform(400, 1400)
    scan = np.clip(np.rint(np.asarray(noisy[0]) * gain), 1, 32767) * brain
    return scan.astype(np.int16), (label & brain).astype(np.uint8)
