"""Several contrasts of one scan, from end to end."""

import json

import numpy as np
import pytest
import torch

from bundle.cases import CaseFolder
from bundle.cli.main import main
from bundle.data import read_datalist, training_data
from bundle.data.joining import merge_datalists
from bundle.errors import InputError
from bundle.interaction import Prompts, answer
from bundle.model import card_tensor, read_card
from bundle.preprocessing.other_contrasts import TOGETHER_NOTE
from bundle.review.prepared import preparing
from bundle.training.pseudo_labels import add_pseudo_labels
from tests.flows import JUDGED, SMALL, run
from tests.heads import save, simulate_head


@pytest.fixture
def patients(tmp_path):
    """A datalist of two patients: one with FLAIR and T1, one with FLAIR alone; one more has T1 alone."""
    entries = []
    for name, seed, contrasts in (("a", 20, ("flair", "t1")), ("b", 21, ("flair",)), ("c", 22, ("t1",))):
        image, mask = simulate_head(seed, lesion=True)
        dark = np.where(image > 0, 300 - image, 0).astype(np.int16)
        volumes = {"flair": image, "t1": dark}
        paths = {one: f"{name}/{name}_{one}.nii.gz" for one in contrasts}
        for one, path in paths.items():
            save(volumes[one], tmp_path / path)
        save(mask, tmp_path / name / f"{name}_seg.nii.gz")
        entries.append({"image": paths, "label": f"{name}/{name}_seg.nii.gz"})
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({"test": entries}))
    return datalist


def test_a_datalist_gives_a_contrast_and_further_ones(patients, caplog):
    one = read_datalist(str(patients), "test", modality="t1")
    assert [entry["image"].rsplit("/", 1)[1] for entry in one] == ["a_t1.nii.gz", "c_t1.nii.gz"]
    assert not any("others" in entry for entry in one) and "1 of 3 entries have no t1 image" in caplog.text
    both = read_datalist(str(patients), "test", modality="flair", contrasts=("flair", "t1", "t2"))
    assert [set(entry.get("others", {})) for entry in both] == [{"t1"}, set()]
    assert both[0]["others"]["t1"] == one[0]["image"]
    with pytest.raises(InputError, match="no entry has a t2 image; give"):
        read_datalist(str(patients), "test", modality="t2")


def test_calibration_takes_the_contrast_that_it_is_for(patients):
    entries = training_data("", str(patients), "test", modality="t1")
    assert [entry["case"] for entry in entries] == ["a_t1", "c_t1"]


def test_masks_found_in_one_contrast_go_with_all(patients, tmp_path):
    splits = json.loads(patients.read_text())
    both = tmp_path / "both.json"
    both.write_text(json.dumps({"training": splits["test"][:2], "validation": splits["test"][2:]}))
    case = CaseFolder(tmp_path / "results" / "a_flair")
    case.path.mkdir(parents=True)
    case.write("mask", b"")
    case.write("statistics", json.dumps({"image": str(tmp_path / "a" / "a_flair.nii.gz")}))
    add_pseudo_labels(str(both), str(tmp_path / "results"), str(tmp_path / "added.json"))
    t1 = training_data("", str(tmp_path / "added.json"), "training", modality="t1")
    assert [entry["image"].rsplit("/", 1)[1] for entry in t1] == ["a_t1.nii.gz"] * 2
    assert [entry.get("pseudo_label") for entry in t1] == [None, str(case.file("mask"))]
    # and datalists that name contrasts can be joined
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"training": [{"image": "d.nii.gz"}]}))
    merge_datalists(str(tmp_path / "merged.json"), [str(both), str(other)])
    assert len(training_data("", str(tmp_path / "merged.json"), "training", modality="t1")) == 2


def test_prepare_lists_further_contrasts(tmp_path, capsys):
    for patient, names in (("TCGA_1", ("flair", "t1", "seg")), ("TCGA_2", ("flair", "seg"))):
        for name in names:
            save(simulate_head(1, lesion=True)[name == "seg"], tmp_path / patient / f"{name}.nii.gz")
    said = ["prepare", "lgg_flair", str(tmp_path), str(tmp_path / "list.json"), "--test", "all"]
    assert main([*said, "--also", "[t1,t1ce]"]) == 0
    images = [entry["image"] for entry in json.loads((tmp_path / "list.json").read_text())["test"]]
    assert [set(image) for image in images] == [{"flair", "t1"}, {"flair"}]
    assert images[0]["t1"] == str((tmp_path / "TCGA_1" / "t1.nii.gz").resolve())
    (tmp_path / "TCGA_1" / "t1.nii.gz").write_bytes(b"no image")
    capsys.readouterr()
    assert main([*said, "--also", "[t1,t1ce]"]) == 0
    assert "left out: " in (told := capsys.readouterr().out) and "TCGA_1/t1.nii.gz: cannot be read" in told
    images = [entry["image"] for entry in json.loads((tmp_path / "list.json").read_text())["test"]]
    assert [set(image) for image in images] == [{"flair"}, {"flair"}]


def test_prepare_says_which_of_two_runs_it_takes(tmp_path, capsys):
    for name in ("FLAIR", "run-1_T1w", "run-2_T1w"):
        save(simulate_head(1)[0], tmp_path / "sub-1" / "anat" / f"sub-1_{name}.nii.gz")
    assert main(["prepare", "bids", str(tmp_path), str(tmp_path / "list.json"), "--test", "all", "--also", "[t1]"]) == 0
    (entry,) = json.loads((tmp_path / "list.json").read_text())["test"]
    assert entry["image"]["t1"].endswith("sub-1_run-1_T1w.nii.gz")
    assert "sub-1_run-2_T1w.nii.gz: the second t1 beside sub-1_run-1_T1w.nii.gz" in capsys.readouterr().out


def test_prepare_refuses_contrasts_that_a_layout_cannot_tell(tmp_path, capsys):
    assert main(["prepare", "folder", str(tmp_path), str(tmp_path / "list.json"), "--also", "[t1]"]) == 1
    assert "--also t1: the layout folder has no such further contrast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "said"), [({"flare": "a.nii"}, "'flare'"), ({"t1": 3}, "'t1'"), ({}, "has no image")]
)
def test_a_wrong_mapping_is_one_sentence(tmp_path, image, said):
    datalist = tmp_path / "wrong.json"
    datalist.write_text(json.dumps({"test": [{"image": image}]}))
    with pytest.raises(InputError, match=said):
        read_datalist(str(datalist), "test", modality="flair")


def test_contrasts_are_segmented_and_reviewed_together(patients, judged, tmp_path):
    flair = torch.load(judged / "model.pt", weights_only=True)
    card = {**read_card(flair), "modality": "t1", "contrast": "dark", "score": "probability"}
    # a judge of higher probabilities
    bias = flair["judge.out.2.bias"] + 3.0
    torch.save({**flair, "_extra_state": card_tensor(card), "judge.out.2.bias": bias}, tmp_path / "t1.pt")
    weights = {"flair": str(judged / "model.pt"), "t1": str(tmp_path / "t1.pt")}
    settings = {**JUDGED, "datalist": str(patients), "contrast_weights": weights, "ckpt_path": weights["flair"]}
    files = ["inference", "evaluate", "contrasts"]
    run("infer", files, **settings, output_dir=str(tmp_path / "together"))
    a, b = (CaseFolder(tmp_path / "together" / f"{name}_flair") for name in "ab")
    found = json.loads((tmp_path / "together" / "summary.json").read_text())["label_free"]["threshold"]
    assert found == pytest.approx(float(flair["threshold"]))
    assert a.statistics()["others"]["t1"].endswith("a_t1.nii.gz") and "others" not in b.statistics()
    assert TOGETHER_NOTE in a.statistics()["warnings"] and TOGETHER_NOTE not in b.statistics()["warnings"]
    assert a.others(a.scan())["t1"].shape == np.asarray(a.scan()[0]).shape
    assert "nan (" not in (tmp_path / "together" / "report.html").read_text()
    page = a.file("page").read_text()
    assert 'alt="t1, slice' in page and "a_t1.nii.gz" in page and 'alt="t1' not in b.file("page").read_text()
    # a scan of which there is one contrast has the mask that it has alone
    single = {**JUDGED, "datalist": str(patients), "ckpt_path": weights["flair"]}
    run("infer", ["inference", "evaluate"], **single, output_dir=str(tmp_path / "alone"))
    alone = {name: CaseFolder(tmp_path / "alone" / f"{name}_flair") for name in "ab"}
    assert np.array_equal(b.volume("mask"), alone["b"].volume("mask"))
    assert not np.allclose(a.volume("score"), alone["a"].volume("score"))
    # clicks start from the mask of the run, and are obeyed
    (tmp_path / "weights.json").write_text(json.dumps({"contrast_weights": weights}))
    options = {**SMALL, **JUDGED, "modality": "flair", "ckpt_path": weights["flair"]}
    state = preparing([str(tmp_path / "weights.json")], options)(a)
    assert np.array_equal(state.mask, a.volume("mask"))
    unmarked = np.argwhere(state.brain & (state.mask == 0))
    voxel = tuple(int(index) for index in unmarked[len(unmarked) // 2])
    found = answer(state, Prompts(foreground=(voxel,)))
    assert found.mask[voxel] == 1 and found.score[voxel] > state.score_on_scan[voxel]
    assert np.array_equal(answer(state, Prompts()).score, state.score_on_scan)


def test_the_command_lays_the_config_of_contrasts_over(patients, capsys):
    paths = [str(patients.parent / "a" / f"a_{name}.nii.gz") for name in ("flair", "t1")]
    assert main(["segment", "--flair", paths[0], "--t1", paths[1], "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "configs/contrasts.json" in said and "--modality flair" in said and paths[1] in said
    points = patients.parent / "points.json"
    points.write_text(json.dumps({"foreground": [[1, 1, 1]]}))
    assert main(["segment", "--flair", paths[0], "--t1", paths[1], "--points", str(points), "--dry-run"]) == 0
    assert "configs/interaction.json', 'configs/contrasts.json'" in capsys.readouterr().out
    assert main(["segment", "--t1", paths[1], "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "contrasts.json" not in said and "--modality t1" in said
    assert main(["evaluate", str(patients), "--config", "contrasts", "--dry-run"]) == 0
    assert "contrasts.json" in capsys.readouterr().out
    assert main(["evaluate", str(patients), "--modality", "t1", "--dry-run"]) == 0
    assert "contrasts.json" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--flair", "missing.nii.gz"], "no such file or folder; give the path of the flair image"),
        (["--t1", "T1", "--modality", "flair"], "--modality flair: no image of it is there (t1 are)"),
        (["--t1", "T1", "T1"], "were both given; give the contrasts of one scan"),
    ],
)
def test_bad_calls_are_one_sentence(patients, capsys, words, said):
    t1 = str(patients.parent / "a" / "a_t1.nii.gz")
    assert main(["segment", *[t1 if word == "T1" else word for word in words]]) == 1
    assert said in capsys.readouterr().err
