"""What was reviewed, as a datalist."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.cases import CaseFolder
from bundle.cli.main import main
from bundle.data import read_datalist
from bundle.errors import InputError
from bundle.review.datalist import prepare_reviewed
from bundle.review.versions import Versions
from tests.heads import save


def empty(case):
    return np.zeros(nib.load(case.file("mask")).shape, np.uint8)


def test_normal_scans_are_to_learn_from_and_corrected_masks_to_evaluate_with(results, tmp_path, capsys):
    turned, upright = (Versions(CaseFolder(results / name)) for name in ("turned", "upright"))
    output = tmp_path / "reviewed.json"
    with pytest.raises(InputError, match="review it first"):
        prepare_reviewed(str(results), str(output))
    # an automatic mask with a lesion that is accepted goes nowhere
    upright.add(0, {"who": "me", "verdict": "accepted"})
    with pytest.raises(InputError, match="review it first"):
        prepare_reviewed(str(results), str(output))
    mask = empty(turned.case)
    mask[3, 4, 5] = 1
    turned.add(0, {"who": "me", "strokes": [{}], "verdict": "corrected"}, mask)
    assert main(["prepare", "reviewed", str(results), str(output)]) == 0
    assert "0 training, 0 validation, 1 test. Left out: 1 lesion masks accepted" in capsys.readouterr().out
    (entry,) = read_datalist(str(output), "test", ("image", "label"))
    assert entry["image"] == turned.case.statistics()["image"]
    label = nib.load(entry["label"])
    assert np.array_equal(np.asarray(label.dataobj), mask)
    # corrected until nothing was left: a normal scan
    upright.add(1, {"who": "me", "verdict": "corrected"}, empty(upright.case))
    prepare_reviewed(str(results), str(output), validation=1)
    splits = json.loads(output.read_text())
    assert [entry["image"] for entry in splits["validation"]] == [upright.case.statistics()["image"]]
    assert "label" not in splits["validation"][0] and splits["training"] == []
    with pytest.raises(InputError, match="--validation 2"):
        prepare_reviewed(str(results), str(output), validation=2)
    # a rejected one is left out
    turned.add(1, {"who": "me", "verdict": "rejected"})
    prepare_reviewed(str(results), str(output), validation=0)
    assert [len(entries) for entries in json.loads(output.read_text()).values()] == [1, 0, 0]


def test_a_corrected_mask_keeps_the_further_contrasts(results, tmp_path):
    turned = Versions(CaseFolder(results / "turned"))
    statistics = turned.case.statistics()
    assert statistics["modality"] == "flair"
    turned.case.file("statistics").write_text(json.dumps({**statistics, "others": {"t1": str(tmp_path / "t1.nii.gz")}}))
    mask = empty(turned.case)
    mask[3, 4, 5] = 1
    turned.add(0, {"who": "me", "strokes": [{}], "verdict": "corrected"}, mask)
    prepare_reviewed(str(results), str(tmp_path / "reviewed.json"))
    (entry,) = json.loads((tmp_path / "reviewed.json").read_text())["test"]
    assert entry["image"] == {"flair": statistics["image"], "t1": str(tmp_path / "t1.nii.gz")}


def test_all_scans_of_a_person_are_in_one_split(tmp_path):
    """Two sessions of five people in BIDS are normal; a sixth has a normal scan, and one with a corrected mask."""
    for person in range(6):
        for session in range(2):
            name = f"sub-{person}_ses-{session}_FLAIR"
            case = CaseFolder(tmp_path / "results" / name)
            case.path.mkdir(parents=True)
            image = save(np.ones((2, 2, 2), np.uint8), tmp_path / f"{name}.nii.gz")
            save(np.zeros((2, 2, 2), np.uint8), case.file("mask"))
            case.write("statistics", json.dumps({"case": name, "image": image}))
            ill = person == 5 and session == 1
            mask = np.ones((2, 2, 2), np.uint8) if ill else None
            Versions(case).add(0, {"who": "me", "verdict": "corrected" if ill else "accepted"}, mask)
    said = prepare_reviewed(str(tmp_path / "results"), str(tmp_path / "list.json"), validation=3)
    splits = json.loads((tmp_path / "list.json").read_text())
    people = {split: [Path(entry["image"]).name[:5] for entry in entries] for split, entries in splits.items()}
    assert {split: len(names) for split, names in people.items()} == {"training": 6, "validation": 4, "test": 1}
    assert len(set(people["training"])) == 3 and not set(people["training"]) & set(people["validation"])
    assert people["test"] == ["sub-5"] and said.endswith("0 rejected, 1 normal of people in test.")
