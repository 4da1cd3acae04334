"""Cases of an evaluation that never was, and how they are compared."""

import json
from pathlib import Path

import numpy as np

from bundle.evaluation import Case, Choice

NUMBERS = json.loads((Path(__file__).parents[2] / "configs" / "comparison.json").read_text())["comparison"]
CHOICE = Choice(**{name: NUMBERS[name] for name in Choice._fields})


def case(seed: int, shift: float = 0.0) -> Case:
    """A brain of noise with one bright lesion of 6 x 6 x 3 voxels, a part of which lies outside the brain mask."""
    random = np.random.RandomState(seed)
    brain = np.zeros((24, 24, 8), bool)
    brain[2:22, 2:22, 1:7] = True
    label = np.zeros_like(brain)
    label[6:12, 6:12, 2:5] = True
    brain[6, 6, 2] = False
    image = np.where(brain, random.normal(100 + shift, 10, brain.shape) + 100 * label, 0)
    mask = label & brain
    mask[15, 15, 6] = True
    error = np.where(brain, label * 2.0 + random.uniform(0, 1, brain.shape), 0)
    return Case(
        f"case_{seed}", image, brain, label, mask, error, error, mask, error / 3, 0.97, 12.5, "", f"/scans/{seed}"
    )
