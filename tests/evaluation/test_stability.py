import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.cli.main import main
from bundle.errors import InputError
from bundle.evaluation.stability import (
    SHIFT,
    agreement,
    agreement_after_shift,
    changes,
    half_a_voxel_on,
    in_plane,
    larger,
    measure_stability,
    summarised,
    with_noise,
    with_ramp,
)
from tests.heads import AFFINE, save, simulate_head, write_head

NUMBERS = json.loads(Path("configs/stability.json").read_text())["stability"]
LIMITS = json.loads(Path("configs/inference.json").read_text())["plausible"]


@pytest.fixture(scope="module")
def scan():
    image = simulate_head(3, lesion=True)[0].astype(np.float32)
    return image, image > 0


def test_the_plane_is_that_of_axial_slices():
    assert in_plane(AFFINE) == (0, 1)
    sagittal = np.array([[0, 0, 4.0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    assert in_plane(sagittal) == (0, 2)


def test_noise_is_as_strong_as_it_should_be_and_leaves_the_brain_where_it_is(scan):
    image, brain = scan
    noisy = with_noise(image, brain, 0.01, 90.0, 0)
    noise = (noisy - image)[brain]
    assert noise.std() == pytest.approx(0.01 * np.percentile(image[brain], 90), rel=0.03)
    assert ((noisy > 0) == brain).all() and (noisy == with_noise(image, brain, 0.01, 90.0, 0)).all()


def test_half_a_voxel_is_a_mean_of_two_neighbours_within_the_brain():
    image = np.zeros((6, 3, 2), np.float32)
    image[1:5] = np.array([2, 4, 8, 16])[:, None, None]
    moved, brain = half_a_voxel_on(image, image > 0, (0, 1))
    # at the rim the one neighbour that is brain
    assert moved[:, 1, 0].tolist() == [0, 2, 3, 6, 12, 16]
    assert brain[:, 1, 0].tolist() == [False, True, True, True, True, True]
    around = np.full((4, 2, 2), 10.0)
    assert (half_a_voxel_on(around, np.zeros(around.shape, bool), (0, 1))[0] == 10).all()


def test_a_ramp_runs_from_end_to_end_of_the_brain(scan):
    image, brain = scan
    ramp = with_ramp(image, brain, 1, 0.05)[brain] / image[brain]
    ends = np.flatnonzero(brain.any(axis=(0, 2)))[[0, -1]]
    rows = np.nonzero(brain)[1]
    assert ramp[rows == ends[0]] == pytest.approx(0.95) and ramp[rows == ends[1]] == pytest.approx(1.05)


def test_a_larger_mask_grows_in_the_plane():
    brain = np.zeros((7, 7, 5), bool)
    brain[3, 3, 2] = True
    grown = larger(brain, (0, 1), 1)
    assert grown.sum() == 9 and grown[2:5, 2:5, 2].all()


def test_agreement_of_masks():
    first, second = np.zeros((2, 4, 4, 2), bool)
    assert agreement(first, second) == 1
    first[0, 0] = True
    assert agreement(first, second) == agreement(second, first) == 0
    second[0, 0, 0] = True
    assert agreement(first, second) == pytest.approx(2 / 3)


def test_after_a_shift_masks_are_compared_where_half_a_voxel_is_a_whole_one():
    first = np.zeros((10, 10, 2), bool)
    first[3:7, 3:7] = True
    # the square of 8 x 8 half voxels and the one that lies half a voxel beside it share 7 x 7
    assert agreement_after_shift(first, first, (0, 1)) == pytest.approx(49 / 64)
    moved = half_a_voxel_on(100.0 * first, np.ones_like(first), (0, 1))[0] >= 25
    # 5 x 5 voxels, of which the fine square that has moved is 8 x 8 of 10 x 10
    assert agreement_after_shift(first, moved, (0, 1)) == pytest.approx(2 * 64 / (64 + 100))
    back = np.roll(first, 1, axis=(0, 1))
    assert agreement_after_shift(first, back, (0, 1)) == pytest.approx(49 / 64)


def by_brightness(scan, affine=None, brain_mask=None, threshold=130.0):
    """A method without networks: what is bright, relative to nothing."""
    image = np.asarray(nib.load(scan).dataobj) if isinstance(scan, str) else np.asarray(scan)
    mask = (image > threshold).astype(np.uint8)
    refinement = {"volume_threshold": threshold * (1 + (affine is None))}
    statistics = {"lesion_ml": float(mask.sum()), "refinement": refinement}
    return SimpleNamespace(mask=nib.Nifti1Image(mask, AFFINE), statistics=statistics)


def test_each_scan_is_changed_in_each_way_and_the_table_says_which_mask_changed_most(tmp_path, scan):
    image, brain = scan
    cases = [{**write_head(tmp_path, name, seed, lesion=True), "case": name} for name, seed in (("a", 3), ("b", 4))]
    cases[1]["brain_mask"] = save((larger(brain, (0, 1), 1)).astype(np.uint8), tmp_path / "brain.nii.gz")
    text = measure_stability(cases, by_brightness, str(tmp_path / "out"), NUMBERS, LIMITS)
    rows = pd.read_csv(tmp_path / "out" / "stability.csv")
    names = list(changes(image, None, AFFINE, NUMBERS))
    assert rows["change"].tolist() == ["unchanged", *names] * 2 and SHIFT in names
    bright = image * np.float32(1.05)
    expected = agreement(image > 130, bright > 130)
    assert rows["dice"][3] == pytest.approx(expected) and 0.95 < expected < 0.96
    # no brightness changes where the mask of the brain does
    assert rows["dice"][4] == 1
    found = summarised(rows, 0.96).set_index("change")
    gain = rows[rows["change"] == "gain of 1.05"].set_index("case")["dice"]
    assert found.loc["gain of 1.05", "mean Dice"] == pytest.approx(gain.mean())
    assert (
        found.loc["gain of 1.05", "of"] == gain.idxmin()
        and found.loc["gain of 1.05", "below 0.96"] == f"{(gain < 0.96).sum()} of 2"
    )
    assert found["threshold factor"].tolist() == pytest.approx([2.0] * 5)
    assert text.count("\n") == 7 and "ramp of 5 %" in text


def test_a_changed_scan_that_is_refused_is_named(tmp_path):
    def refuses(scan, affine=None, brain_mask=None):
        if affine is not None:
            raise InputError("no brain")
        return by_brightness(scan)

    case = {**write_head(tmp_path, "a", 3), "case": "a"}
    with pytest.raises(InputError, match=r"a_flair.nii.gz: with 1 % noise it is refused \(no brain\)"):
        measure_stability([case], refuses, str(tmp_path / "out"), NUMBERS, LIMITS)


def test_the_command_takes_scans_or_one_datalist(tmp_path, monkeypatch, capsys):
    seen = []

    def settings(scan, affine=None, brain_mask=None, **given):
        seen.append(given)
        return by_brightness(scan, affine, brain_mask)

    monkeypatch.setattr("bundle.cli.notebook.segment", settings)
    entry = write_head(tmp_path, "a", 3, lesion=True)
    (tmp_path / "list.json").write_text(json.dumps({"validation": [{**entry, "image": {"t2": entry["image"]}}]}))
    output = ["-o", str(tmp_path / "out")]
    words = [str(tmp_path / "list.json"), "--split", "validation", "--modality", "t2", "--batch_size", "4"]
    assert main(["stability", *words, *output]) == 0
    assert seen == [{"config": (), "modality": "t2", "batch_size": 4}] * 6
    assert "| 1 % noise |" in capsys.readouterr().out
    assert main(["stability", entry["image"], *output]) == 0 and len(seen) == 12
    assert main(["stability", str(tmp_path / "list.json"), entry["image"], *output]) == 1
    assert "list.json: give one datalist, or scans." in capsys.readouterr().err


def test_a_scan_whose_brain_mask_is_not_clear_is_not_measured_without_one(tmp_path):
    cases = [{**write_head(tmp_path, "a", 3), "case": "a"}]
    cases.append({**write_head(tmp_path, "b", 4), "case": "b", "fault": "b: 0 brain masks match"})
    with pytest.raises(InputError, match="b: 0 brain masks match"):
        measure_stability(cases, by_brightness, str(tmp_path / "out"), NUMBERS, LIMITS)
    assert not (tmp_path / "out").exists()
