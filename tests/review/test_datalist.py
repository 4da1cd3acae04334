"""What was reviewed, as a datalist."""

import json

import nibabel as nib
import numpy as np
import pytest

from bundle.cases import CaseFolder
from bundle.cli.main import main
from bundle.data import read_datalist
from bundle.errors import InputError
from bundle.review.datalist import prepare_reviewed
from bundle.review.versions import Versions


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
