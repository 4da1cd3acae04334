"""What scans are called, and what a folder run takes, whatever the names of files and folders."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.cases import RunFolder
from bundle.cases.case import FILES
from bundle.data.case_names import LONGEST_NAME, case_names
from bundle.data.scans import inference_data
from bundle.errors import InputError
from tests.heads import save


def put(folder: Path, *names: str) -> Path:
    """Empty files; their content is not looked at."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def cases(folder: Path, *names: str) -> dict[str, str]:
    """What is taken of a folder with such files, by path: the names of the cases."""
    put(folder, *names)
    return {os.path.relpath(entry["image"], folder): entry["case"] for entry in inference_data(image=str(folder))}


def test_a_link_gives_its_own_name(tmp_path):
    put(tmp_path / "annex", "SHA256E-s12--ab.nii.gz")
    (tmp_path / "study").mkdir()
    for name in ("patient_7.nii.gz", "patient_8.nii.gz"):
        (tmp_path / "study" / name).symlink_to(tmp_path / "annex" / "SHA256E-s12--ab.nii.gz")
    assert cases(tmp_path / "study") == {"patient_7.nii.gz": "patient_7", "patient_8.nii.gz": "patient_8"}
    (tmp_path / "linked").symlink_to(tmp_path / "study")
    assert set(cases(tmp_path / "linked").values()) == {"patient_7", "patient_8"}


def test_what_a_run_has_written_is_no_scan(tmp_path):
    results = [f"results/a/a_{ending}" for ending in FILES.values()]
    assert cases(tmp_path, "a.nii.gz", *results) == {"a.nii.gz": "a"}


def test_two_endings_of_one_name_are_two_cases(tmp_path):
    assert cases(tmp_path, "x.nii", "x.nii.gz") == {"x.nii": "x_nii", "x.nii.gz": "x_nii_gz"}


def test_a_folder_that_is_named_as_a_file_is_a_folder(tmp_path):
    assert cases(tmp_path, "B1_flair.nii/00_final.nii", "B2.nii.gz/x.nii") == {
        "B1_flair.nii/00_final.nii": "00_final",
        "B2.nii.gz/x.nii": "x",
    }


def test_endings_in_upper_case(tmp_path):
    found = cases(tmp_path, "A.NII", "B.NII.GZ", "C.Nii.gz", "d.MHA", "E_SEG.NII.GZ")
    assert found == {"A.NII": "A", "B.NII.GZ": "B", "C.Nii.gz": "C", "d.MHA": "d"}
    taken = inference_data(image=str(tmp_path), pattern="**/*.nii.gz")
    assert [entry["case"] for entry in taken] == ["B", "C"]


def test_either_file_of_a_pair_names_the_case():
    assert case_names(["/a/x.hdr", "/a/y.img", "/a/Z.IMG.GZ"]) == ["x", "y", "Z"]


def test_brackets_and_other_signs_of_patterns_are_letters(tmp_path):
    names = ["[T2] x/a?b.nii", "[T2] x/{a}.nii", "*/c!.nii"]
    assert list(cases(tmp_path, *names).values()) == ["c!", "a_b", "{a}"]
    taken = inference_data(image=str(tmp_path / "[T2] x"), pattern="*.nii")
    assert sorted(os.path.basename(entry["image"]) for entry in taken) == ["a?b.nii", "{a}.nii"]


def test_names_that_are_no_unicode_or_too_long(tmp_path):
    name = os.fsdecode(b"m\xfcller")
    found = cases(tmp_path, f"{name}.nii", "p" * 240 + ".nii", "p" * 239 + "q.nii")
    assert len(set(found.values())) == 3
    for case in found.values():
        assert len(case.encode("utf-8")) <= LONGEST_NAME, "no letter that cannot be written, and short enough"
    assert found[f"{name}.nii"].startswith("m?ller".replace("?", "_"))


def test_names_that_differ_in_case_or_in_the_way_an_umlaut_is_written(tmp_path):
    names = case_names(["/a/Scan.nii", "/a/scan.nii", "/b/\u00e9.nii", "/b/e\u0301.nii"])
    assert len({name.casefold() for name in names}) == 4 and names[:2] == ["Scan_nii", "scan_nii_2"]
    put(tmp_path, "x.nii")
    run = RunFolder(str(tmp_path / "out"))
    entries = [{"case": name, "image": str(tmp_path / "x.nii")} for name in names]
    assert [entry["case"] for entry in run.claim(entries)] == names


@pytest.mark.parametrize(
    "name", ["..", ".", "a/../..", "...", ".hidden", "report.html", "volumes.csv", "errors.log", " ", "\n", "/etc"]
)
def test_no_name_leads_out_of_the_output_folder_or_onto_its_files(name):
    (given,) = case_names(["/a/x.nii"], [name])
    assert given not in ("", ".", "..", "report.html", "volumes.csv", "errors.log") and not given.startswith(".")
    assert os.sep not in given and "\n" not in given and given.strip() == given


def test_what_was_passed_over_is_counted_and_listed(tmp_path):
    (tmp_path / "lost.nii").symlink_to(tmp_path / "nowhere")
    put(tmp_path, "scan.nii.gz", "scan_seg.nii.gz", "notes.txt", "table.csv", "sub-01_T1w.nii.gz", ".hidden.nii")
    data = inference_data(image=str(tmp_path))
    assert [entry["case"] for entry in data] == ["scan"]
    said = {sentence.removeprefix(f"{tmp_path}: ") for sentence in data.passed_over}
    assert said == {
        "1 file passed over, links that lead nowhere: lost.nii.",
        "1 file passed over, masks or results by their names: scan_seg.nii.gz.",
        "2 files passed over, no images by their names: notes.txt, table.csv.",
        "1 file passed over, of another contrast, or not chosen by --pattern: sub-01_T1w.nii.gz.",
    }


def test_long_lists_of_what_was_passed_over_are_cut(tmp_path):
    put(tmp_path, "scan.nii.gz", *(f"{i:03d}.txt" for i in range(120)))
    data = inference_data(image=str(tmp_path))
    assert len(list(data)) == 1
    (sentence,) = data.passed_over
    assert "120 files passed over" in sentence and sentence.endswith("049.txt and 70 more.")


def test_a_brain_mask_that_is_used_was_not_passed_over(tmp_path):
    import nibabel as nib

    from tests.heads import save, simulate_head

    image, _ = simulate_head(0)
    save(image, tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz")
    mask = save((image > 0).astype("uint8"), tmp_path / "derivatives/bet/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    data = inference_data(image=str(tmp_path))
    (entry,) = data
    assert entry["brain_mask"] == mask and data.passed_over == []
    assert nib.load(mask).shape == image.shape


def test_the_voxels_beside_a_header_were_not_passed_over(tmp_path):
    nib.save(nib.Nifti1Pair(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "x.img")
    data = inference_data(image=str(tmp_path))
    assert [Path(entry["image"]).name for entry in data] == ["x.hdr"] and data.passed_over == []


def test_a_file_has_no_series(tmp_path):
    save(np.ones((4, 4, 4), np.float32), tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match=r"^--series 5: .*x\.nii\.gz is no DICOM series; leave it out"):
        list(inference_data(image=str(tmp_path / "x.nii.gz"), series="5"))
