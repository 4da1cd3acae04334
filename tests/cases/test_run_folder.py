import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

import bundle
from bundle.cases import RunFolder, VolumeStream
from bundle.data import inference_data
from bundle.errors import InputError
from bundle.files import write_whole
from tests.programs import Program

HEADER: dict = {}


def run_folder(folder: Path, **options) -> RunFolder:
    write_whole(folder / "weights.pt", "of a model")
    return RunFolder(str(folder / "out"), **{"weights": str(folder / "weights.pt"), "overwrite": False, **options})


def scan(folder: Path, name: str, content: str = "voxels") -> dict:
    write_whole(folder / f"{name}.nii.gz", content)
    return {"case": Path(name).name, "image": str(folder / f"{name}.nii.gz")}


def finish(run: RunFolder, case: str) -> None:
    """What SaveCased and the report leave of a case."""
    run.case(case).write_results([], {"image": "", "made_from": run.made_from(case)}, HEADER)
    run.case(case).write("page", "<main></main>")


def done_by(run: RunFolder, entries: list) -> list[str]:
    """What a run has to compute, as ``VolumeStream`` hands it out; all of it is finished."""
    with run.opened():
        todo = []
        for volume in VolumeStream(entries, lambda entry: entry, run, progress=False):
            todo.append(volume["case"])
            finish(run, volume["case"])
        return todo


def test_what_is_finished_is_not_computed_again(tmp_path):
    entries = [scan(tmp_path, "a"), scan(tmp_path, "b")]
    assert done_by(run_folder(tmp_path), entries) == ["a", "b"]
    assert done_by(run_folder(tmp_path), entries) == []
    assert done_by(run_folder(tmp_path, overwrite=True), entries) == ["a", "b"]
    scan(tmp_path, "b", "other voxels")
    assert done_by(run_folder(tmp_path), entries) == ["b"], "the scan was changed"
    assert done_by(run_folder(tmp_path, settings={"radius": 3}), entries) == ["a", "b"], "the settings were changed"
    (tmp_path / "out" / "a" / "a_report.html").write_text("")
    assert done_by(run_folder(tmp_path, settings={"radius": 3}), entries) == ["a"], "a full disk left an empty file"
    (tmp_path / "out" / "a" / "a_report.html").unlink()
    assert done_by(run_folder(tmp_path, settings={"radius": 3}), entries) == ["a"], "it had no pictures yet"
    other = tmp_path / "other.pt"
    other.write_text("of another model")
    assert done_by(run_folder(tmp_path, settings={"radius": 3}, weights=str(other)), entries) == ["a", "b"]


def test_another_scan_of_the_same_name_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    first, second = scan(tmp_path, "one/flair", "first"), scan(tmp_path, "two/flair", "second")
    assert done_by(run_folder(tmp_path), [first]) == ["flair"]
    assert done_by(run_folder(tmp_path), [second]) == ["two_flair"]
    assert done_by(run_folder(tmp_path), [second]) == done_by(run_folder(tmp_path), [first]) == []
    # its own earlier result is replaced, and a scan that was moved is known again
    assert done_by(run_folder(tmp_path), [scan(tmp_path, "one/flair", "exported again")]) == ["flair"]
    (tmp_path / "one").rename(tmp_path / "moved")
    assert done_by(run_folder(tmp_path), [{**first, "image": str(tmp_path / "moved" / "flair.nii.gz")}]) == []
    # as typed, two scans in two folders can have one path
    for folder, expected in (("moved", []), ("two", [])):
        monkeypatch.chdir(tmp_path / folder)
        assert done_by(run_folder(tmp_path), [{"case": "flair", "image": "flair.nii.gz"}]) == expected


def test_any_fault_of_a_volume_is_its_own(tmp_path):
    def transform(entry):
        if entry["case"] == "bad":
            raise RuntimeError("MONAI's wrapping") from InputError("bad.nii.gz: at fault; mend it.")
        if entry["case"] == "unexpected":
            raise RuntimeError("MONAI's wrapping") from ZeroDivisionError("division\nby zero")
        if entry["case"] == "odd":
            # the data loader knows no such type
            return {**entry, "image": MetaTensor(torch.zeros(1), meta={"what": np.zeros(1, ">i4")})}
        return entry

    entries = [scan(tmp_path, name) for name in ("a", "bad", "unexpected", "b", "odd")]
    done_by(run_folder(tmp_path), entries)
    run = run_folder(tmp_path, overwrite=True)
    with run.opened():
        stream = VolumeStream(entries, transform, run, progress=False)
        assert [item["case"] for item in stream] == ["a", "b"]
        assert [failure.case for failure in run.failures] == ["bad", "unexpected", "odd"]
    with pytest.raises(InputError) as caught:
        run.check()
    first, *listed = str(caught.value).splitlines()
    assert first == "3 of 5 volumes failed, the others are done:"
    assert listed[0] == "  bad.nii.gz: at fault; mend it."
    log = tmp_path / "out" / "errors.log"
    assert listed[1] == f"  {entries[2]['image']}: ZeroDivisionError: division by zero (see {log})."
    assert "Traceback" in log.read_text() and "at fault" not in log.read_text()


def test_a_working_folder_that_changes_amid_a_run_moves_nothing(tmp_path, monkeypatch):
    """ITK changes it for a moment when it loads a module, and results are written beside that."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder("out", "weights.pt")
    (entry,) = inference_data(image=scan(tmp_path, "a") and "a.nii.gz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run.claim([entry])
    assert run.case("a").path == tmp_path / "out" / "a" and run.weights == tmp_path / "weights.pt"
    assert entry["image"] == str(tmp_path / "a.nii.gz")


def test_files_of_others_are_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("report.html", "volumes.csv", "errors.log", "cases.csv", "summary.json"):
        path = tmp_path / "out" / name
        path.write_text("of the user")
        with pytest.raises(InputError, match=f"{name}: no run has written this file"), run_folder(tmp_path).opened():
            pass
        assert path.read_text() == "of the user"
        path.unlink()
    # what a run leaves is its own
    run = run_folder(tmp_path)
    with run.opened():
        run.claim([scan(tmp_path, "a")])
        run.failed("a", ZeroDivisionError())
    with run_folder(tmp_path).opened():
        assert os.listdir(tmp_path / "out") == []


def test_a_file_in_the_place_of_a_case_stays(tmp_path, caplog):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("of the user")
    entry = scan(tmp_path / "scans", "a")
    assert done_by(run_folder(tmp_path), [entry]) == ["scans_a"]
    assert (tmp_path / "out" / "a").read_text() == "of the user" and "a is a file" in caplog.text
    assert done_by(run_folder(tmp_path), [entry]) == []


def test_a_case_with_a_known_fault_ends_no_other(tmp_path):
    run = run_folder(tmp_path)
    faulty = {**scan(tmp_path, "b"), "fault": "b.nii.gz: no brain mask; give one."}
    assert done_by(run, [scan(tmp_path, "a"), faulty]) == ["a"]
    assert [failure.sentence for failure in run.failures] == ["b.nii.gz: no brain mask; give one."]


def test_results_of_before_do_not_stay_where_a_case_now_fails(tmp_path):
    entry = scan(tmp_path, "a")
    done_by(run_folder(tmp_path), [entry])
    scan(tmp_path, "a", "no image any more")
    (tmp_path / "out" / "a" / "corrected.nii.gz").write_text("of the user")
    run = run_folder(tmp_path)
    with run.opened():
        run.claim([entry])
        run.failed("a", InputError("a.nii.gz: cannot be read; export it again."))
    assert os.listdir(tmp_path / "out" / "a") == ["corrected.nii.gz"]


def test_results_of_the_same_scan_stay_where_a_run_with_other_settings_fails(tmp_path, caplog):
    caplog.set_level("INFO")
    entry = scan(tmp_path, "a")
    done_by(run_folder(tmp_path), [entry])
    before = sorted(os.listdir(tmp_path / "out" / "a"))
    mask = scan(tmp_path, "mask_on_another_grid")["image"]

    def refuse(entry):
        raise InputError("mask.nii.gz: lies elsewhere.")

    run = run_folder(tmp_path, settings={"radius": 3})
    with run.opened():
        assert not list(VolumeStream([{**entry, "brain_mask": mask}], refuse, run, progress=False))
    assert sorted(os.listdir(tmp_path / "out" / "a")) == before
    assert "is replaced when the new one is there" in caplog.text
    (failure,) = run.failures
    assert failure.sentence == "mask.nii.gz: lies elsewhere. The result of an earlier run stays."
    assert not run.has_result("a"), "and it is no result of this run"


def test_a_run_knows_the_cases_of_earlier_ones_in_its_folder(tmp_path):
    done_by(run_folder(tmp_path), [scan(tmp_path, "a"), scan(tmp_path, "b")])
    run = run_folder(tmp_path)
    done_by(run, [scan(tmp_path, "b"), scan(tmp_path, "c")])
    assert [case.name for case in run.earlier_cases()] == ["a"]
    shard = run_folder(tmp_path, shard="1/2")
    done_by(shard, [scan(tmp_path, "c")])
    assert shard.earlier_cases() == []
    # the same scan under another name: what else was given made it so
    run = run_folder(tmp_path)
    done_by(run, [{**scan(tmp_path, "a"), "case": "folder_a"}])
    assert [case.name for case in run.earlier_cases()] == ["b", "c"]


def test_results_stay_where_only_their_pictures_fail(tmp_path):
    run = run_folder(tmp_path)
    with run.opened():
        run.claim([scan(tmp_path, "a")])
        run.case("a").write_results([], {"image": "", "made_from": run.made_from("a")}, HEADER)
        run.failed("a", OSError(28, "No space left on device"))
    assert (tmp_path / "out" / "a" / "a_statistics.json").exists() and len(run.failures) == 1
    said = run.failures[0].sentence
    assert "a.nii.gz: its results cannot be written (No space left on device); free some space" in said
    assert not (tmp_path / "out" / "errors.log").exists(), "nothing unexpected"
    assert not run.is_finished("a")


def test_a_second_run_into_the_folder_is_refused(tmp_path):
    program = """
import sys, time
from pathlib import Path
from bundle.cases import RunFolder
with RunFolder(sys.argv[1]).opened():
    Path(sys.argv[2]).touch()
    time.sleep(600)
"""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("IterMask of an earlier run")
    other = Program("-c", program, str(tmp_path / "out"), str(tmp_path / "begun"))
    try:
        while not (tmp_path / "begun").exists():
            assert other.is_running() and time.sleep(0.01) is None
        (tmp_path / "out" / "report.html").write_text("IterMask of that run")
        with pytest.raises(InputError, match="another run is writing there"), run_folder(tmp_path).opened():
            pass
        assert (tmp_path / "out" / "report.html").read_text() == "IterMask of that run"
    finally:
        other.kill()
    # nothing has to be cleared away after a kill
    with run_folder(tmp_path).opened():
        assert not (tmp_path / "out" / "report.html").exists()


def test_shards_share_a_folder_and_a_run_without_makes_one_report(tmp_path):
    entries = [scan(tmp_path, name) for name in "abc"]
    out = tmp_path / "out"
    with run_folder(tmp_path, shard="1/2").opened():
        assert done_by(run_folder(tmp_path, shard="2/2"), entries) == ["b"]
        for other in ("1/2", ""):
            with pytest.raises(InputError, match="another run is writing there"):
                done_by(run_folder(tmp_path, shard=other), entries)
    first = run_folder(tmp_path, shard="1/2")
    assert done_by(first, entries) == ["a", "c"] and list(first.entries) == ["a", "c"]
    assert done_by(run_folder(tmp_path, shard="1/2"), entries) == []
    first.file("volumes.csv").touch()
    assert (out / "volumes_shard_1_of_2.csv").exists()
    assert done_by(run_folder(tmp_path), entries) == []
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c"]


def test_a_case_is_finished_when_all_that_its_run_makes_is_there(tmp_path):
    entries = [scan(tmp_path, "a")]
    done_by(run_folder(tmp_path), entries)
    assert done_by(run_folder(tmp_path, finished=("page", "scores")), entries) == ["a"]
    (tmp_path / "out" / "a" / "a_scores.json").write_text("{}")
    assert done_by(run_folder(tmp_path, finished=("page", "scores")), entries) == []


def test_results_of_a_study_in_bids_say_what_they_are(tmp_path):
    description = tmp_path / "out" / "dataset_description.json"
    plain = run_folder(tmp_path)
    done_by(plain, [scan(tmp_path, "a")])
    plain.describe()
    assert not description.exists()
    study = run_folder(tmp_path)
    done_by(study, [{**scan(tmp_path, "sub-01_FLAIR"), "subfolder": "sub-01/anat"}])
    study.describe()
    said = json.loads(description.read_text())
    assert said["DatasetType"] == "derivative" and said["GeneratedBy"][0]["Version"] == bundle.__version__
    assert {"Name", "BIDSVersion"} <= set(said)
    description.write_text("of somebody else")
    study.describe()
    assert description.read_text() == "of somebody else"


def test_names_that_are_too_long_for_a_disk(tmp_path):
    run = run_folder(tmp_path)
    entries = [{"case": "p" * 236 + end, "image": str(tmp_path / "x.nii.gz")} for end in "ab"]
    names = [entry["case"] for entry in run.claim(entries)]
    assert len(set(names)) == 2 and all(len(name) <= 200 for name in names)


def test_statistics_that_are_damaged_are_made_again(tmp_path):
    """The case failed in every run from then on."""
    entry = scan(tmp_path, "a")
    assert done_by(run_folder(tmp_path), [entry]) == ["a"]
    statistics = run_folder(tmp_path).case("a").file("statistics")
    statistics.write_text(statistics.read_text()[:20])
    run = run_folder(tmp_path)
    assert done_by(run, [entry]) == ["a"] and not run.failures
    for odd in (None, {}):
        statistics.write_text(json.dumps({"image": None, "made_from": odd}))
        assert done_by(run_folder(tmp_path), [entry]) == [f"{tmp_path.name}_a"]
        shutil.rmtree(tmp_path / "out" / f"{tmp_path.name}_a")
    # what no run has written stays
    statistics.write_text("[]")
    assert done_by(run_folder(tmp_path), [entry]) == [f"{tmp_path.name}_a"] and statistics.read_text() == "[]"


def test_a_scan_is_known_by_all_of_its_files(tmp_path):
    """A DICOM series may lie in folders below the one that is given, voxels beside their header."""
    (tmp_path / "series" / "ST0").mkdir(parents=True)
    files = {
        "series": tmp_path / "series" / "ST0" / "1.dcm",
        "pair.hdr": tmp_path / "pair.img",
        "raw.mhd": tmp_path / "other.raw",
        "raw.nhdr": tmp_path / "other.raw",
    }
    (tmp_path / "pair.hdr").write_text("header")
    (tmp_path / "raw.mhd").write_text("NDims = 3\nElementDataFile = other.raw\n")
    (tmp_path / "raw.nhdr").write_text("NRRD0004\ndata file: other.raw\n")
    for path in files.values():
        path.write_text("voxels")
    entries = [{"image": str(tmp_path / name), "case": name} for name in files]
    assert len(done_by(run_folder(tmp_path), entries)) == 4 and done_by(run_folder(tmp_path), entries) == []
    for path in files.values():
        path.write_text("others")
    assert len(done_by(run_folder(tmp_path), entries)) == 4


def test_results_stay_while_their_scan_cannot_be_read(tmp_path):
    entry = scan(tmp_path, "a")
    done_by(run_folder(tmp_path), [entry])
    (tmp_path / "a.nii.gz").rename(tmp_path / "away.nii.gz")
    run = run_folder(tmp_path)
    with run.opened():
        run.claim([entry])
        run.failed("a", InputError("a.nii.gz: no such file; check the path of the image."))
    assert (tmp_path / "out" / "a" / "a_statistics.json").exists() and len(run.failures) == 1
    (tmp_path / "away.nii.gz").rename(tmp_path / "a.nii.gz")
    assert done_by(run_folder(tmp_path), [entry]) == []
