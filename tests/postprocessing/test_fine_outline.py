# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The outline of a lesion in the voxels of the scan."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Resized
from scipy import ndimage

from bundle.postprocessing import FineOutlined, InvertLinearlyd, fine_outline
from bundle.preprocessing import FieldOfViewd, NormalizeBrainIntensityd

AXES = (("L", "R"), ("P", "A"), ("I", "S"))


def disc(shape: tuple, centre: tuple, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    plane = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    return np.repeat(plane[..., None], shape[2], 2)


def test_the_outline_moves_no_farther_than_its_reach():
    mask = disc((40, 40, 3), (20, 20), 8)
    wide, narrow = np.full(mask.shape, 2.0), np.zeros(mask.shape)
    brain, none = np.ones(mask.shape, bool), np.zeros(mask.shape)
    window = np.ones((5, 5, 1))
    grown = fine_outline(mask, wide, none, brain, 1.0, (2, 2))
    assert np.array_equal(grown, ndimage.binary_dilation(mask, window))
    assert np.array_equal(fine_outline(mask, narrow, none, brain, 1.0, (2, 2)), ndimage.binary_erosion(mask, window))
    # voxels that are longer than the model's pixels
    assert np.array_equal(fine_outline(mask, wide, none, brain, 1.0, (0, 0)), mask)
    brain[24:] = False
    assert not fine_outline(mask, wide, none, brain, 1.0, (2, 2))[24:].any()


def test_no_component_is_lost_and_none_is_made():
    mask = disc((40, 40, 3), (20, 20), 6)
    mask[4, 4, 1] = True
    score = np.where(mask, 2.0, 0.0)
    # a speck as bright as a lesion, within reach and apart from the mask
    score[20, 29, 1] = 2.0
    score[4, 4, 1] = 0.0
    drawn = fine_outline(mask, score, np.zeros(mask.shape), np.ones(mask.shape, bool), 1.0, (3, 3))
    assert drawn[4, 4, 1] and not drawn[20, 29, 1] and ndimage.label(drawn, np.ones((3, 3, 3)))[1] == 2


@pytest.mark.parametrize(("contrast", "sign"), [("bright", 1), ("dark", -1)])
def test_a_lesion_is_drawn_as_the_scan_shows_it(contrast, sign):
    """1 mm voxels, 2 mm pixels of the model, axes and orientation of the scan its own."""
    shape = (6, 96, 96)
    brain = np.moveaxis(disc((96, 96, 6), (48, 48), 40), -1, 0)
    lesion = np.moveaxis(disc((96, 96, 6), (41, 52), 7.5), -1, 0)
    random = np.random.default_rng(0)
    tissue = 100 + random.normal(0, 5, shape)
    voxels = np.where(brain, tissue + sign * 40 * lesion, 0).astype(np.float32)
    affine = np.array([[0, 0, 1, -48], [0, 1, 0, -48], [3, 0, 0, 0], [0, 0, 0, 1]], float)
    read = {
        "image": MetaTensor(torch.from_numpy(voxels)[None], affine=affine),
        "brain_mask": MetaTensor(torch.from_numpy(brain)[None], affine=affine),
        "lesion": MetaTensor(torch.from_numpy(lesion.astype(np.float32))[None], affine=affine),
    }
    keys = tuple(read)
    preprocessing = Compose(
        [
            Orientationd(keys, axcodes="LPS", labels=AXES),
            FieldOfViewd(keys, 96.0),
            NormalizeBrainIntensityd("image", 90.0),
            Resized(keys, (48, 48, -1), mode=("area", "nearest-exact", "area")),
        ]
    )
    data = {**preprocessing(read), "scan": read["image"], "scan_brain": read["brain_mask"]}
    image = data["image"]
    # what a model of 2 mm gives: the lesion, smoothed
    score = 2 * ndimage.gaussian_filter(np.asarray(data["lesion"][0]), (0.8, 0.8, 0))
    data["score"] = MetaTensor(torch.from_numpy(score)[None], meta=image.meta)
    data["score"].applied_operations = image.applied_operations
    data["refinement"] = {"volume_threshold": 0.8, "uncertain_ml": [10.0, 20.0]}
    coarse = MetaTensor(torch.from_numpy((score > 0.8).astype(np.float32))[None], meta=image.meta)
    inverse = {"transform": preprocessing, "orig_keys": "image", "nearest_interp": False}
    data["pred"] = (InvertLinearlyd("pred", **inverse)({**data, "pred": coarse})["pred"] > 0.5).to(torch.uint8)
    assert data["pred"].shape == (1, *shape)

    def dice(mask) -> float:
        found = np.asarray(mask[0]) > 0
        return 2 * (found & lesion).sum() / (found.sum() + lesion.sum())

    def drawn(**changed):
        given = {"contrast": contrast, "score": "intensity", "outline": {"detail": 0.5, "fine_mm": 0.5}, **changed}
        to_scan = InvertLinearlyd(("score", "coil_field"), **inverse, allow_missing_keys=True)
        return FineOutlined("pred", score_sigma=0.8, to_scan=to_scan, **given)(data)

    before = dice(data["pred"])
    assert before > 0.9 and dice(drawn()["pred"]) > before + 0.01
    # the wrong direction makes it worse, and by probability nothing is drawn
    wrong = "dark" if sign == 1 else "bright"
    assert dice(drawn(contrast=wrong)["pred"]) < dice(drawn(contrast="any")["pred"])
    assert torch.equal(drawn(score="probability")["pred"].as_tensor(), data["pred"].as_tensor())
    found = drawn()
    assert found["pred"].dtype == torch.uint8 and np.allclose(found["pred"].affine, affine)
    growth = float(found["pred"].sum() / data["pred"].sum())
    assert found["refinement"]["uncertain_ml"] == pytest.approx([10 * growth, 20 * growth], abs=0.06)


def test_a_scan_without_lesions_is_left_alone():
    empty = MetaTensor(torch.zeros(1, 8, 8, 2, dtype=torch.uint8))
    step = FineOutlined("pred", "bright", "intensity", 0.8, {"detail": 0.5, "fine_mm": 0.5}, to_scan=dict)
    assert step({"pred": empty})["pred"] is empty
