"""The copies that are served: never the originals, and each label with its own scan."""

import json
import os
import stat

import nibabel as nib
import numpy as np
import pytest

from bundle.data import read_volume
from bundle.errors import InputError
from bundle.label.served_bundle import NAME, remove, serve_bundle
from bundle.label.studies import copy_studies, list_studies
from tests.data.test_volumes import write_dicom
from tests.dicom import write_series
from tests.heads import AFFINE, save, simulate_head
from tests.label.conftest import state_of


@pytest.fixture
def studies(tmp_path):
    for number, name in enumerate(("a", "b")):
        save(simulate_head(number)[0], tmp_path / "studies" / name / f"{name}.nii.gz")
    return tmp_path / "studies"


def copied(studies, work):
    return copy_studies(studies, list_studies(studies), work)[0]


def images(folder):
    return sorted(path.name for path in folder.glob("*.nii*"))


def test_copies_are_files_of_their_own_that_cannot_be_written(studies, tmp_path):
    before = state_of(studies)
    folder = copied(studies, tmp_path / "work")
    assert images(folder) == ["a.nii.gz", "b.nii.gz"]
    for name in ("a", "b"):
        copy, original = folder / f"{name}.nii.gz", studies / name / f"{name}.nii.gz"
        assert copy.read_bytes() == original.read_bytes()
        assert not copy.is_symlink() and copy.stat().st_ino != original.stat().st_ino
        assert not stat.S_IMODE(copy.stat().st_mode) & 0o222
    assert state_of(studies) == before


def test_copies_follow_the_originals_and_labels_stay(studies, tmp_path):
    folder = copied(studies, tmp_path / "work")
    inode = (folder / "a.nii.gz").stat().st_ino
    save(np.ones((2, 2, 2), np.uint8), folder / "labels" / "final" / "b.nii.gz")
    save(simulate_head(8)[0], studies / "b" / "b.nii.gz")
    os.utime(studies / "b" / "b.nii.gz", ns=(1, 1))
    save(simulate_head(9)[0], studies / "c" / "c.nii.gz")
    assert copied(studies, tmp_path / "work") == folder
    assert images(folder) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    assert (folder / "a.nii.gz").stat().st_ino == inode
    assert np.array_equal(read_volume(folder / "b.nii.gz")[0].numpy(), simulate_head(8)[0])
    (studies / "c" / "c.nii.gz").unlink()
    copied(studies, tmp_path / "work")
    assert images(folder) == ["a.nii.gz", "b.nii.gz"]
    assert (folder / "labels" / "final" / "b.nii.gz").is_file()


def test_a_copy_follows_the_voxels_beside_a_header(studies, tmp_path):
    pair = [studies / f"pair{ending}" for ending in (".hdr", ".img")]
    nib.save(nib.Nifti1Pair(simulate_head(1)[0], AFFINE), pair[1])
    header = pair[0].stat()
    folder = copied(studies, tmp_path / "work")
    nib.save(nib.Nifti1Pair(simulate_head(2)[0], AFFINE), pair[1])
    os.utime(pair[0], ns=(header.st_atime_ns, header.st_mtime_ns))
    os.utime(pair[1], ns=(1, 1))
    copied(studies, tmp_path / "work")
    assert np.allclose(read_volume(folder / "pair.nii.gz")[0].numpy(), simulate_head(2)[0])


def test_a_label_never_passes_to_another_scan_of_the_same_name(studies, tmp_path):
    folder = copied(studies, tmp_path / "work")
    save(np.ones((2, 2, 2), np.uint8), folder / "labels" / "final" / "b.nii.gz")
    (studies / "b").rename(studies / "of_another_patient")
    with pytest.raises(InputError, match=r"b\.nii\.gz: this is a label of .*studies/b/b\.nii\.gz"):
        copied(studies, tmp_path / "work")


def test_names_that_no_request_may_bring_are_made_plain(tmp_path):
    image = simulate_head(0)[0]
    for name in ("50%25..x.nii.gz", "a\\b.nii.gz", "a_b.nii.gz", "é.nii.gz"):
        save(image, tmp_path / "studies" / name)
    folder = copied(tmp_path / "studies", tmp_path / "work")
    assert images(folder) == ["50_25_x.nii.gz", "a_b.nii.gz", "a_b_2.nii.gz", "é.nii.gz"]


def test_a_dicom_series_is_served_as_nifti_where_it_lies(tmp_path):
    image = simulate_head(0)[0]
    (tmp_path / "studies").mkdir()
    write_dicom(image, AFFINE, tmp_path / "studies" / "series")
    folder = copied(tmp_path / "studies" / "series", tmp_path / "work")
    (name,) = images(folder)
    copy, original = read_volume(folder / name), read_volume(tmp_path / "studies" / "series")
    assert np.array_equal(copy, original) and np.allclose(copy.affine, original.affine)


def test_a_copy_keeps_what_was_said_of_its_original(tmp_path):
    write_series(simulate_head(0)[0], AFFINE, tmp_path / "series", Modality="CT")
    for _ in range(2):  # the second time nothing is copied
        volumes = list_studies(tmp_path / "series")
        ((_, of_copy),) = copy_studies(tmp_path / "series", volumes, tmp_path / "work")[1].items()
        assert of_copy.said == "DICOM: the modality is CT and not MR; the result is not to be trusted."


def test_two_folders_of_one_name_are_kept_apart(tmp_path):
    folders = set()
    for parent in ("one", "two"):
        save(simulate_head(0)[0], tmp_path / parent / "studies" / "a.nii.gz")
        folders.add(copied(tmp_path / parent / "studies", tmp_path / "work"))
    assert len(folders) == 2


def test_the_served_bundle_is_a_copy_with_one_model(tmp_path):
    serve_bundle(tmp_path / "app")
    served = tmp_path / "app" / "model" / NAME
    assert [path.name for path in (served / "models").iterdir()] == ["model.pt"]
    assert (served / "configs" / "inference.json").is_file()
    for path in (served, *served.rglob("*")):
        assert not path.is_symlink() and not stat.S_IMODE(path.stat().st_mode) & 0o222
    remove(tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_a_datalist_brings_further_contrasts_and_brain_masks(tmp_path):
    paths = {name: save(simulate_head(3)[0], tmp_path / "a" / f"{name}.nii.gz") for name in ("flair", "t1", "brain")}
    entry = {"image": {"flair": "a/flair.nii.gz", "t1": "a/t1.nii.gz"}, "brain_mask": "a/brain.nii.gz", "case": "a"}
    datalist = tmp_path / "scans.json"
    datalist.write_text(json.dumps({"test": [entry]}))
    volumes = list_studies(datalist, modality="flair", contrasts=("flair", "t1"))
    folder, beside = copy_studies(datalist, volumes, tmp_path / "work")
    assert images(folder) == [*beside]
    (found,) = beside.values()
    assert found.others == {"t1": paths["t1"]} and found.brain_mask == paths["brain"]
    (one,) = copy_studies(datalist, list_studies(datalist, modality="t1"), tmp_path / "work")[1].values()
    assert one.others == {} and one.brain_mask == paths["brain"]


def test_a_study_gives_the_contrast_that_is_asked_for(tmp_path):
    for contrast in ("FLAIR", "T1w"):
        save(simulate_head(3)[0], tmp_path / "sub-1" / "anat" / f"sub-1_{contrast}.nii.gz")
    for modality, contrast in (("flair", "FLAIR"), ("t1", "T1w")):
        (volume,) = list_studies(tmp_path, modality=modality)
        assert volume["image"].endswith(f"sub-1_{contrast}.nii.gz")


def test_a_datalist_says_which_series_of_a_folder_is_served(tmp_path):
    heads = [simulate_head(number)[0] for number in range(2)]
    for number, head in enumerate(heads, 1):
        write_series(head, AFFINE, tmp_path / "dicom", series=str(number), SeriesDescription=f"scan {number}")
    datalist = tmp_path / "scans.json"
    datalist.write_text(json.dumps({"test": [{"image": "dicom", "series": f"scan {n}"} for n in (1, 2)]}))
    folder = copied(datalist, tmp_path / "work")
    found = [np.asarray(read_volume(folder / name)[0]) for name in images(folder)]
    assert len(found) == 2 and all(np.array_equal(volume, head) for volume, head in zip(found, heads))
