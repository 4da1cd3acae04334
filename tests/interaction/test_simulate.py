import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from bundle.cli.main import main
from bundle.errors import InputError
from bundle.interaction.robot import Click, next_click
from bundle.interaction.simulate import prompts_of, simulate_clicks, summarised
from tests.dicom import write_series
from tests.heads import AFFINE, save, simulate_head, write_head
from tests.interaction.conftest import TINY


def test_the_robot_clicks_into_the_middle_of_the_largest_error():
    truth, mask = np.zeros((2, 20, 20, 8), bool)
    truth[2:9, 2:9, 3:6] = True
    mask[12:17, 12:17, 2:5] = True
    spacing, random = np.array([1.0, 1.0, 2.0]), np.random.default_rng(0)
    assert next_click(mask, truth, spacing, 0, random) == Click(True, (5, 5, 4))
    assert next_click(mask, truth & False, spacing, 0, random) == Click(False, (14, 14, 3))
    assert next_click(truth, truth, spacing, 0, random) is None
    clicks = {next_click(mask, truth, spacing, 3, random).voxel for _ in range(50)}
    assert len(clicks) > 10 and all(truth[voxel] for voxel in clicks)
    assert prompts_of([Click(True, (1, 2, 3)), Click(False, (4, 5, 6))]).to_json()["background"] == [[4, 5, 6]]


def test_the_summary_counts_clicks_and_averages_over_scans():
    rows = [
        {"case": case, "seed": 0, "clicks": n, "method": "m", "dice": dice, "seconds": 1.0, "far_changed": 0.0}
        for case, curve in (("a", (0.5, 0.7, 0.85)), ("b", (0.7, 0.75, 0.75)))
        for n, dice in enumerate(curve)
    ]
    found = summarised(pd.DataFrame(rows).assign(seconds_with_maps=2.0), reached=(0.8, 0.9))["m"]
    assert found["dice"] == [0.6, 0.725, 0.8] and found["area"] == pytest.approx((0.6 / 2 + 0.725 + 0.4) / 2)
    # not reached counts as the most clicks that were made
    assert found["clicks_to_0.8"] == 2 and found["reached"] == {"0.8": 0.5, "0.9": 0.0}


def test_clicks_are_simulated_and_help(tmp_path, tiny_weights, monkeypatch):
    entry = write_head(tmp_path, "patient", 3, lesion=True)
    lesion = np.asarray(nib.load(entry["label"]).dataobj) > 0
    # the expert draws more than is marked
    save(ndimage.binary_dilation(lesion, iterations=2).astype(np.uint8), Path(entry["label"]))
    (tmp_path / "list.json").write_text(json.dumps({"test": [entry]}))
    settings = json.loads(Path("configs/interaction.json").read_text())
    robot = {"robot": {**settings["robot"], "clicks": 3, "seeds": 1}}
    monkeypatch.setattr("bundle.cli.runs.top_level", lambda names: robot)
    options = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
    output = tmp_path / "clicks"
    words = [str(tmp_path / "list.json"), "-o", str(output), "--ckpt_path", str(tiny_weights), *options]
    assert main(["simulate-clicks", *words]) == 0
    table = pd.read_csv(output / "clicks.csv")
    assert len(table) == 4 * 3 and (output / "clicks.png").stat().st_size > 1000
    ours = json.loads((output / "clicks.json").read_text())["IterMask2"]
    assert ours["dice"][3] > ours["dice"][0] and ours["far_changed"] == 0


def test_the_series_of_a_datalist_is_the_one_that_is_clicked_in(tmp_path, monkeypatch):
    image, lesion = simulate_head(3, lesion=True)
    for number in (1, 2):
        write_series(image, AFFINE, tmp_path / "dicom", series=str(number), SeriesDescription=f"scan {number}")
    entry = {"image": "dicom", "series": "scan 2", "label": save(lesion, tmp_path / "seg.nii.gz")}
    (tmp_path / "list.json").write_text(json.dumps({"test": [entry]}))
    asked = []

    def prepared(image, brain_mask, **settings):
        asked.append(settings)
        raise InputError("enough")

    monkeypatch.setattr("bundle.interaction.simulate.prepare_scan", prepared)
    with pytest.raises(InputError, match="enough"):
        simulate_clicks(str(tmp_path / "list.json"), "test", str(tmp_path), {"seeds": 1}, device="cpu")
    assert asked == [{"others": None, "series": "scan 2", "device": "cpu"}]
