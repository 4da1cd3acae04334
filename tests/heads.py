"""Tiny simulated heads as NIfTI files: an ellipsoid with texture, a head to no eye but the code's."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

# voxels of 3 x 3 x 6 mm, array axes towards left, posterior, superior
AFFINE = np.array([[-3.0, 0, 0, 84], [0, -3.0, 0, 96], [0, 0, 6.0, -36], [0, 0, 0, 1]])
SHAPE = (56, 64, 12)


def simulate_head(seed: int, lesion: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Image (0 outside the brain) and lesion mask (empty, or one bright lesion)."""
    random = np.random.RandomState(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size) for size in SHAPE], indexing="ij")
    brain = (x / 0.75) ** 2 + (y / 0.85) ** 2 + (z / 1.1) ** 2 < 1
    image = 100 + 20 * np.cos(6 * x + random.uniform(0, 6)) * np.cos(5 * y + 3 * z) + random.normal(0, 3, SHAPE)
    centre = random.uniform(-0.3, 0.3, 3)
    mask = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.04) & (abs(z - centre[2]) < 0.3) & brain & lesion
    image[mask] += 90
    return np.where(brain, image, 0).astype(np.int16), mask.astype(np.uint8)


def save(volume: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> str:
    """Write a NIfTI file and its folder; gives the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(volume, affine), path)
    return str(path)


def write_head(folder: Path, name: str, seed: int, lesion: bool = False) -> dict[str, str]:
    """A head as ``<name>_flair.nii.gz`` and, with a lesion, ``<name>_seg.nii.gz``; gives a datalist entry."""
    image, mask = simulate_head(seed, lesion)
    entry = {"image": save(image, folder / f"{name}_flair.nii.gz")}
    if lesion:
        entry["label"] = save(mask, folder / f"{name}_seg.nii.gz")
    return entry
