import json
from pathlib import Path

import pytest

from bundle.cases import CaseFolder
from bundle.data.datalists import read_datalist
from bundle.errors import InputError
from bundle.training.pseudo_labels import add_pseudo_labels


def test_pseudo_labels_go_with_the_series_that_they_were_found_in(tmp_path):
    entries = [{"image": "dicom", "series": name} for name in ("one", "two")]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries, "validation": [{"image": "other.nii"}]}))
    for entry in entries:
        case = CaseFolder(tmp_path / "results" / f"dicom_{entry['series']}")
        case.path.mkdir(parents=True)
        case.write("mask", b"")
        case.write("statistics", json.dumps({"image": str(tmp_path / "dicom"), "series": entry["series"]}))
    add_pseudo_labels(str(tmp_path / "list.json"), str(tmp_path / "results"), str(tmp_path / "added.json"))
    added = [entry for entry in read_datalist(str(tmp_path / "added.json"), "training") if "pseudo_label" in entry]
    assert [(entry["series"], Path(entry["pseudo_label"]).parent.name) for entry in added] == [
        ("one", "dicom_one"),
        ("two", "dicom_two"),
    ]


def test_what_a_killed_run_left_behind_is_no_result(tmp_path):
    (tmp_path / "list.json").write_text(
        json.dumps({"training": [{"image": "scan.nii"}], "validation": [{"image": "other.nii"}]})
    )
    case = CaseFolder(tmp_path / "results" / ".unfinished" / "scan")
    case.path.mkdir(parents=True)
    case.write("mask", b"")
    case.write("statistics", json.dumps({"image": str(tmp_path / "scan.nii")}))
    with pytest.raises(InputError, match="no result for any of the 1 images"):
        add_pseudo_labels(str(tmp_path / "list.json"), str(tmp_path / "results"), str(tmp_path / "added.json"))
