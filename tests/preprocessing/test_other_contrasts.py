"""Further contrasts, brought to the grid of the scan."""

import json
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose

from bundle.data.loading import LoadVolumed
from bundle.data.volumes import on_grid_of, read_volume
from bundle.errors import InputError
from bundle.preprocessing import BACKGROUND, BrainMaskd, NormalizeBrainIntensityd, OtherContrastsd
from tests.heads import AFFINE, SHAPE, save, simulate_head
from tests.limits import PLAUSIBLE

LIMITS = json.loads((Path(__file__).resolve().parents[2] / "configs" / "inference.json").read_text())["contrast_check"]
IMAGE, _ = simulate_head(0)
OTHER = np.where(IMAGE > 0, 300 - IMAGE, 0).astype(np.int16)


def loaded(folder, other, affine=AFFINE, smallest_overlap=0.5):
    data = {
        "image": save(IMAGE, folder / "flair.nii.gz"),
        "others": {"t1": save(other, folder / "t1.nii.gz", affine)},
    }
    data = BrainMaskd("image", PLAUSIBLE, "never")(LoadVolumed("image")(data))
    normalise = Compose([NormalizeBrainIntensityd("image", percentile=90)])
    return OtherContrastsd("image", normalise, smallest_overlap, LIMITS, PLAUSIBLE)(data)


def test_a_contrast_that_is_no_scan_is_refused_or_said(tmp_path):
    brain = IMAGE > 0
    standardised = np.where(brain, (OTHER - OTHER[brain].mean()) / OTHER[brain].std(), -9).astype(np.float32)
    z_scores = np.where(brain, standardised, 0)
    for other, words in (
        *((1 * brain + (OTHER > 200), "label map"), (standardised + 1, "z-scores")),
        # half of the brain is not above zero, and seemed to lie elsewhere
        (z_scores, "z-scores"),
    ):
        with pytest.raises(InputError, match=rf"t1\.nii\.gz: .*{words}"):
            loaded(tmp_path, other.astype(np.float32))
    cut = np.minimum(OTHER, np.int16(np.percentile(OTHER[brain], 80)))
    assert "t1.nii.gz: 2" in (said := loaded(tmp_path, cut)["warnings"]) and "they were cut off" in said


def test_a_contrast_on_the_same_grid_is_prepared_as_the_scan_is(tmp_path):
    found = np.asarray(loaded(tmp_path, OTHER)["contrasts"]["t1"][0])
    brain = IMAGE > 0
    high = np.percentile(OTHER[brain], 90)
    assert np.allclose(found[brain], (OTHER[brain] / high - 0.5) * 6, atol=1e-4) and (found[~brain] == BACKGROUND).all()


def test_another_grid_is_brought_to_that_of_the_scan_by_the_headers(tmp_path):
    # the same voxels in another order, and a slice less
    turned = np.ascontiguousarray(OTHER[::-1, :, :-1].transpose(2, 0, 1))
    flip = AFFINE @ np.diag([-1.0, 1, 1, 1]) + np.outer([*AFFINE[:3, 0] * (SHAPE[0] - 1), 0], [0, 0, 0, 1])
    affine = flip[:, [2, 0, 1, 3]]
    image = read_volume(save(IMAGE, tmp_path / "scan.nii.gz"))
    moved = on_grid_of(read_volume(save(turned, tmp_path / "other.nii.gz", affine)), image)
    assert moved.shape == image.shape and np.allclose(moved[0, ..., :-1], OTHER[..., :-1], atol=0.1)
    found = np.asarray(loaded(tmp_path, turned, affine)["contrasts"]["t1"][0])
    straight = np.asarray(loaded(tmp_path, OTHER)["contrasts"]["t1"][0])
    inside = (IMAGE > 0)[..., :-1]
    assert np.allclose(found[..., :-1][inside], straight[..., :-1][inside], atol=0.05)
    assert (found[..., -1] == BACKGROUND).all()


def test_what_a_contrast_does_not_show_is_left_out_and_moves_no_percentile(tmp_path):
    part = OTHER.copy()
    part[: SHAPE[0] // 3] = 0
    found = np.asarray(loaded(tmp_path, part)["contrasts"]["t1"][0])
    shown = (IMAGE > 0) & (part > 0)
    assert (found[~shown] == BACKGROUND).all()
    high = np.percentile(part[shown], 90)
    assert np.allclose(found[shown], (part[shown] / high - 0.5) * 6, atol=0.05)


def test_images_that_do_not_overlap_are_refused_in_one_sentence(tmp_path):
    away = AFFINE.copy()
    away[0, 3] += 150
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, OTHER, away)
    said = str(caught.value)
    assert "t1.nii.gz: by the headers it shows 0 % of the brain of" in said and "; give images of one session" in said


def test_without_further_contrasts_there_are_none(tmp_path):
    data = {"image": save(IMAGE, tmp_path / "flair.nii.gz")}
    data = BrainMaskd("image", PLAUSIBLE, "never")(LoadVolumed("image")(data))
    assert OtherContrastsd("image", Compose([]), 0.5, LIMITS, PLAUSIBLE)(data)["contrasts"] == {}
