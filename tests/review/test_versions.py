"""Versions of a review: each is kept, none is replaced, and masks lie on the scan."""

import json
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest

from bundle.cases import CaseFolder
from bundle.errors import InputError
from bundle.review.strokes import prompts_of
from bundle.review.versions import Conflict, Versions, reviewed_cases


@pytest.fixture
def versions(results):
    return Versions(CaseFolder(results / "turned"))


def test_each_change_adds_a_line_and_a_mask_and_changes_nothing_before(versions):
    case = versions.case
    automatic = case.file("mask").read_bytes()
    shape = nib.load(case.file("mask")).shape
    assert versions.last()["version"] == 0 and versions.mask_path(versions.last()) == case.file("mask")
    for value in (1, 0):
        versions.add(versions.last()["version"], {"who": "me"}, np.full(shape, value, np.uint8))
    line = versions.add(2, {"who": "you", "verdict": "rejected", "remark": "motion"})
    one, two, three = versions.all()
    assert [one["version"], two["version"], three["version"]] == [1, 2, 3] and three == line
    assert [one["who"], two["who"], three["who"]] == ["me", "me", "you"]
    # a verdict has the mask of the version before
    assert three["mask"] == two["mask"] != one["mask"]
    for entry, value in ((one, 1), (two, 0)):
        mask = nib.load(versions.mask_path(entry))
        assert np.all(np.asarray(mask.dataobj) == value) and mask.get_data_dtype() == np.uint8
        assert np.allclose(mask.affine, nib.load(case.file("mask")).affine)
    assert case.file("mask").read_bytes() == automatic
    assert one["made_from"] == case.statistics()["made_from"] and one["when"] < three["when"]


def test_of_changes_to_one_version_the_second_is_refused(versions):
    def add(who):
        try:
            return versions.add(0, {"who": who})
        except Conflict as error:
            return str(error)

    with ThreadPoolExecutor(8) as reviewers:
        answers = list(reviewers.map(add, map(str, range(8))))
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert all("reload" in answer for answer in answers if isinstance(answer, str))
    assert len(versions.all()) == 1


def test_a_line_that_was_cut_short_is_left_out_and_harms_none(versions):
    versions.add(0, {"who": "é"})
    with versions.path.open("a") as file:
        file.write('{"version": 2, "who"')
    assert versions.last()["version"] == 1
    versions.add(1, {"who": "after"})
    assert [line["version"] for line in versions.all()] == [1, 2] and versions.last()["who"] == "after"
    assert all(json.loads(line) for line in versions.path.read_text().splitlines())
    versions.path.write_text("no json\n" + versions.path.read_text())
    with pytest.raises(InputError, match="line 1 is damaged"):
        versions.all()


def test_results_made_anew_keep_the_review(versions):
    versions.add(0, {"who": "me", "verdict": "accepted"})
    versions.case.clear()
    assert versions.last()["verdict"] == "accepted"


def test_reviewed_cases_are_those_with_a_verdict(results):
    assert list(reviewed_cases(results)) == []
    Versions(CaseFolder(results / "turned")).add(0, {"who": "me"})
    Versions(CaseFolder(results / "upright")).add(0, {"who": "me", "verdict": "rejected"})
    assert [case.name for case, _ in reviewed_cases(results)] == ["upright"]


def test_of_two_strokes_that_contradict_the_later_one_holds():
    point = {"kind": "lesion", "shape": "point", "voxels": [[1, 2, 3]]}
    over = {"kind": "normal", "shape": "scribble", "voxels": [[1, 2, 3], [1, 2, 4]]}
    later, earlier = prompts_of([point, over]), prompts_of([over, point])
    assert later.foreground == () and later.background_scribbles == (((1, 2, 3), (1, 2, 4)),)
    assert earlier.foreground == ((1, 2, 3),) and earlier.background_scribbles == (((1, 2, 4),),)


@pytest.mark.parametrize("strokes", [None, {}, [1], [{}], [{"kind": "x", "shape": "point", "voxels": []}]])
def test_what_is_no_stroke_gets_one_sentence(strokes):
    with pytest.raises(InputError, match="strokes: "):
        prompts_of(strokes)


def test_what_was_decided_of_another_automatic_mask_is_open_again(versions, results):
    statistics = versions.case.statistics()
    versions.add(0, {"who": "me", "verdict": "accepted", "lesion_ml": 7.0})
    assert versions.last()["verdict"] == "accepted"
    anew = {**statistics, "made_from": {**statistics["made_from"], "run": "other weights"}}
    versions.case.write("statistics", json.dumps(anew))
    line = versions.last()
    assert (line["verdict"], line["version"]) == ("open", 1) and "lesion_ml" not in line
    assert list(reviewed_cases(results)) == [] and versions.all()[0]["verdict"] == "accepted"
    assert versions.add(1, {"who": "you", "verdict": "rejected"})["version"] == 2
    assert versions.last()["verdict"] == "rejected"
    # a mask that was drawn is another matter: it is kept
    shape = nib.load(versions.case.file("mask")).shape
    versions.add(2, {"who": "you", "verdict": "corrected"}, np.zeros(shape, np.uint8))
    versions.case.write("statistics", json.dumps(statistics))
    assert versions.last()["verdict"] == "corrected"
