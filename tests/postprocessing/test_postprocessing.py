import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.postprocessing.course import RefinementTraced
from bundle.postprocessing.statistics import LesionStatisticsd, lesion_statistics
from bundle.postprocessing.to_scan import RestoreIntensityd


def test_statistics_of_two_lesions():
    mask = np.zeros((20, 20, 10), np.uint8)
    mask[2:4, 2:4, 2:4] = 1  # 8 voxels
    mask[10:13, 10:13, 5:8] = 1  # 27 voxels
    mask[13, 13, 8] = 1  # touches the second one by a corner
    affine = np.array([[-2.0, 0, 0, 10], [0, 2.0, 0, -5], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    found = lesion_statistics(mask, affine, brain_centre=np.array([0.0, 0.0, 0.0]))
    assert found["lesion_ml"] == pytest.approx(36 * 12 / 1000)
    assert [component["voxels"] for component in found["components"]] == [28, 8]
    second = found["components"][1]
    assert second["centre_mm"] == [5.0, 0.0, 7.5] and second["place"] == "superior"
    assert found["components"][0]["place"] == "left, anterior, superior"
    nothing = lesion_statistics(np.zeros((4, 4, 4)), affine)
    assert nothing == {"lesion_ml": 0.0, "lesion_voxels": 0, "number_of_components": 0, "components": []}


def case() -> dict:
    """A prediction of 8 x 8 x 2 voxels of 1 ml: slice 0 takes 3 iterations, slice 1 takes 2."""
    affine = torch.diag(torch.tensor([10.0, 10, 10, 1]))
    hidden = torch.zeros(1, 8, 8, 2)
    hidden[0, :4, :4, 0] = 1
    hidden[0, :2, :2, 0] = 3
    hidden[0, :3, :1, 1] = 2
    mask = torch.zeros_like(hidden)
    mask[0, :2, :2, 0] = 1
    mask[0, :3, :1, 1] = 1
    error, reconstruction = torch.full_like(hidden, 0.5), torch.zeros_like(hidden)
    image = MetaTensor(torch.ones_like(hidden), affine=affine)
    image.meta.update(intensity_high=200.0, filename_or_obj="scan.nii.gz")
    found = {"pred": mask, "error": error, "reconstruction": reconstruction, "hidden_iterations": hidden}
    found = {name: MetaTensor(values, affine=affine) for name, values in found.items()}
    refinement = {"threshold": 0.25, "seconds": 1.5}
    return {"image": image, **found, "refinement": refinement, "case": "scan", "warnings": ""}


def test_course_of_the_refinement():
    data = RefinementTraced(keys="pred", max_iterations=5)(case())
    assert data["refinement"] == {
        "threshold": 0.25,
        "seconds": 1.5,
        "iterations": 3,
        "slices": 2,
        "slices_at_cap": 0,
        "cap_reached": False,
        "mask_ml_by_iteration": [19.0, 7.0, 7.0],
    }
    assert data["warnings"] == ""
    capped = RefinementTraced(keys="pred", max_iterations=3)(case())
    assert capped["refinement"]["slices_at_cap"] == 1 and "1 of 2 slices reached the cap" in capped["warnings"]


def test_intensities_of_the_scan_come_back():
    data = case()
    data["image"][0, 0, 0, 0] = -3
    restored = RestoreIntensityd(keys="reconstruction")(data)["reconstruction"]
    assert restored[0, 0, 0, 0] == 0 and restored[0, 1, 1, 1] == 100


def finished() -> dict:
    data = RefinementTraced(keys="pred", max_iterations=50)(case())
    return LesionStatisticsd(keys="pred", largest_share=0.25, modality="flair")(data)


def test_statistics_are_plain_data():
    statistics = finished()["statistics"]
    assert json.loads(json.dumps(statistics)) == statistics
    assert statistics["notice"] == "Research use only. Not a medical device."


def test_an_empty_mask_that_is_uncertain_is_told():
    def said(pred, **refinement) -> str:
        data = {**case(), "refinement": refinement}
        data["pred"] = data["pred"] * pred
        return " ".join(LesionStatisticsd("pred", 2.0, "flair")(data)["statistics"]["warnings"])

    assert "No lesion is marked, but 3.7 ml score nearly as high" in said(0, uncertain_ml=[0.0, 3.7])
    assert said(0) == said(1, uncertain_ml=[1.0, 3.7]) == ""


def test_agreement_with_an_expert():
    """The model marks 7 voxels of 1 ml; the expert marks two of them and three others."""
    data = case()
    label = torch.zeros(1, 8, 8, 2)
    label[0, :1, :5, 0] = 1
    data["label"] = MetaTensor(label, affine=data["image"].affine)
    statistics = LesionStatisticsd(keys="pred", largest_share=0.25, modality="flair")(data)["statistics"]
    assert statistics["expert"] == {"lesion_ml": 5.0, "dice": round(2 * 2 / 12, 4)}
    data["label"] = 0 * data["label"]
    assert LesionStatisticsd(keys="pred", largest_share=0.25, modality="flair")(data)["statistics"]["expert"] == {
        "lesion_ml": 0.0,
        "dice": None,
    }
    # MONAI Label gives a path
    data["label"] = "label.nii.gz"
    assert "expert" not in LesionStatisticsd(keys="pred", largest_share=0.25, modality="flair")(data)["statistics"]
