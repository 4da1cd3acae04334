"""Whether a scan looks like the contrast that it is said to be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from bundle.preprocessing.brain_mask import SKULL_ON
from bundle.preprocessing.contrast_check import Brightness, ContrastCheckd, brightness, looks_like

LIMITS = json.loads((Path(__file__).resolve().parents[2] / "configs" / "inference.json").read_text())["contrast_check"]

# a ball of 2 mm voxels: fluid, cortex, white matter, and a ventricle in the middle
DEPTH = 2.0 * (32 - np.sqrt(sum((axis - 34.5) ** 2 for axis in np.ogrid[:70, :70, :70])))
BRAIN = DEPTH > 0
TISSUES = {
    "fluid": (DEPTH < 4) | (DEPTH > 52),
    "grey": (DEPTH >= 4) & (DEPTH < 12),
    "white": (DEPTH >= 12) & (DEPTH <= 52),
}


def simulated(fluid: float, grey: float, white: float) -> np.ndarray:
    values = {"fluid": fluid, "grey": grey, "white": white}
    image = sum(values[name] * TISSUES[name] for name in values)
    noise = np.random.RandomState(0).normal(0, 0.03, BRAIN.shape)
    return ((ndimage.gaussian_filter(image, 0.7) + noise).clip(0.01) * BRAIN).astype(np.float32)


SCANS = {"flair": simulated(0.15, 0.75, 0.6), "t1": simulated(0.2, 0.65, 0.95), "t2": simulated(1.0, 0.55, 0.4)}


def checked(name: str, modality: str, skull_on: int = 0, spacing: float = 2.0) -> str:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    mask = MetaTensor(torch.from_numpy(BRAIN)[None], affine=affine)
    mask.meta[SKULL_ON] = skull_on
    image = MetaTensor(torch.from_numpy(SCANS[name])[None], affine=affine)
    data = {"image": image, "brain_mask": mask, "warnings": "Before."}
    return ContrastCheckd(keys="image", modality=modality, limits=LIMITS)(data)["warnings"]


@pytest.mark.parametrize("name", SCANS)
def test_each_contrast_looks_like_itself(name):
    seen = brightness(SCANS[name], BRAIN, [2.0, 2.0, 2.0], LIMITS)
    assert looks_like(seen, LIMITS) == name


def test_depth_and_rim_are_what_they_say():
    image = np.where(BRAIN, 100 + DEPTH, 0)
    seen = brightness(image, BRAIN, [2.0, 2.0, 2.0], LIMITS)
    low, median, high = np.percentile(image[BRAIN], [25, 50, 75])
    rim = image[(DEPTH > 2) & (DEPTH <= 5)]
    assert seen.depth > 0.99
    assert seen.rim == pytest.approx((np.percentile(rim, 90) - median) / (high - low), abs=0.1)


def test_finer_voxels_give_the_same():
    fine = [np.kron(array, np.ones((2, 2, 2))) for array in (SCANS["t1"], BRAIN)]
    coarse, seen = (
        brightness(SCANS["t1"], BRAIN, [2, 2, 2], LIMITS),
        brightness(fine[0], fine[1] > 0, [1, 1, 1], LIMITS),
    )
    assert np.allclose(coarse, seen, atol=0.03)


def test_what_is_not_clear_is_left_open():
    assert looks_like(Brightness(depth=0.1, rim=1.0), LIMITS) == ""
    assert brightness(np.where(BRAIN, 5.0, 0.0), BRAIN, [2.0, 2.0, 2.0], LIMITS) is None


@pytest.mark.parametrize(
    ("name", "modality", "remedy"), [("t1", "flair", "t1"), ("flair", "t1ce", "flair"), ("t2", "flair", "t2")]
)
def test_another_contrast_is_said_with_its_remedy(name, modality, remedy):
    said = checked(name, modality)
    assert said.startswith("Before.\nTHE SCAN LOOKS LIKE") and f"give --modality {remedy}" in said


@pytest.mark.parametrize(
    ("name", "modality"),
    [("flair", "flair"), ("t1", "t1"), ("t1", "t1ce"), ("t2", "t2"), ("t1", "dwi"), ("flair", "t2")],
)
def test_the_right_contrast_is_left_alone(name, modality):
    assert checked(name, modality) == "Before."


def test_of_a_head_nothing_is_said():
    assert checked("t1", "flair", skull_on=1) == "Before."
