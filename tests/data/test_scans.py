import json

import numpy as np
import pytest

from bundle.data.bids import bids_name
from bundle.data.scans import inference_data
from bundle.errors import InputError
from tests.heads import AFFINE, save, simulate_head

IMAGE, _ = simulate_head(0)
BRAIN = (IMAGE > 0).astype(np.uint8)


def scans(*folders, **options):
    return list(inference_data(image=[str(folder) for folder in folders], **options))


@pytest.fixture
def study(tmp_path):
    """Two people with FLAIR and T1w, the second with two visits; an unrelated contrast, a mask and a derivative."""
    root = tmp_path / "study"
    for stem in ("sub-01/anat/sub-01", "sub-02/ses-1/anat/sub-02_ses-1", "sub-02/ses-2/anat/sub-02_ses-2_run-1"):
        for suffix in ("FLAIR", "T1w", "ce-gd_T1w", "T2star"):
            save(IMAGE, root / f"{stem}_{suffix}.nii.gz")
    save(IMAGE, root / "derivatives/other/sub-01/anat/sub-01_desc-n4_FLAIR.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "study", "BIDSVersion": "1.9.0"}))
    return root


def test_of_a_study_in_bids_the_asked_contrast_alone_is_taken(study):
    assert [entry["image"].rpartition("/")[2] for entry in scans(study)] == [
        "sub-01_FLAIR.nii.gz",
        "sub-02_ses-1_FLAIR.nii.gz",
        "sub-02_ses-2_run-1_FLAIR.nii.gz",
    ]
    assert {entry["image"].rpartition("_")[2] for entry in scans(study, modality="t1")} == {"T1w.nii.gz"}
    assert all("ce-gd" in entry["image"] for entry in scans(study, modality="t1ce"))
    assert not any("ce-gd" in entry["image"] for entry in scans(study, modality="t1"))
    with pytest.raises(InputError, match=r"no image of the contrast dwi .*3 of flair"):
        scans(study, modality="dwi")
    with pytest.raises(InputError, match="no image of the contrast dwi"):
        scans(study / "sub-01" / "anat", modality="dwi")
    # a pattern is the user's own choice
    assert len(scans(study, pattern="sub-*/**/*_T2star.nii.gz")) == 3


def test_results_of_a_study_in_bids_are_named_as_derivatives(study):
    entries = scans(study)
    assert [(entry["subfolder"], entry["case"]) for entry in entries] == [
        ("sub-01/anat", "sub-01_space-FLAIR_desc-itermask2"),
        ("sub-02/ses-1/anat", "sub-02_ses-1_space-FLAIR_desc-itermask2"),
        ("sub-02/ses-2/anat", "sub-02_ses-2_run-1_space-FLAIR_desc-itermask2"),
    ]
    # one scan that is named itself keeps its name
    (entry,) = scans(study / "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert entry == {"image": str(study / "sub-01/anat/sub-01_FLAIR.nii.gz"), "case": "sub-01_FLAIR"}


def test_names_of_bids():
    assert bids_name("sub-01_ce-gd_T1w").contrast == "t1ce"
    for plain in ("sub-01", "FLAIR", "sub-01_brain", "x_sub-01_FLAIR", "patient_T1w"):
        assert bids_name(plain) is None


def test_brain_masks_of_derivatives(study):
    masks = study / "derivatives" / "hdbet"
    mask = save(BRAIN, masks / "sub-01/anat/sub-01_space-FLAIR_desc-brain_mask.nii.gz")
    # on another grid, as of the T1w
    save(BRAIN, masks / "sub-02/ses-1/anat/sub-02_ses-1_desc-brain_mask.nii.gz", AFFINE @ np.diag([2, 2, 2, 1]))
    assert [entry.get("brain_mask") for entry in scans(study)] == [mask, None, None]
    save(BRAIN, study / "derivatives/other/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    first, *others = scans(study)
    assert "2 brain masks lie in derivatives" in first["fault"] and "--brain_mask_pattern" in first["fault"]
    assert "brain_mask" not in first and not any("fault" in entry for entry in others)


def test_brain_masks_by_pattern(study, tmp_path):
    plain = tmp_path / "plain [v2]"
    for name in ("a", "b"):
        save(IMAGE, plain / f"{name}.nii.gz")
        save(BRAIN, plain / "masks" / f"{name}_brain_mask.nii.gz")
    found = scans(plain, brain_mask_pattern="masks/{name}_*.nii.gz")
    assert [entry["brain_mask"] for entry in found] == [str(plain / f"masks/{name}_brain_mask.nii.gz") for name in "ab"]
    for pattern, count in (("{name}_missing.nii.gz", 0), ("masks/*.nii.gz", 2)):
        with pytest.raises(InputError, match=f"{count} brain masks match"):
            scans(plain, brain_mask_pattern=pattern)
    (plain / "masks" / "b_brain_mask.nii.gz").unlink()
    first, second = scans(plain, brain_mask_pattern="masks/{name}_*.nii.gz")
    assert "fault" not in first and "b.nii.gz: 0 brain masks match" in second["fault"]
    for stem in ("sub-01/anat/sub-01", "sub-02/ses-1/anat/sub-02_ses-1", "sub-02/ses-2/anat/sub-02_ses-2"):
        save(BRAIN, tmp_path / "bet" / f"{stem}_mask.nii.gz")
    found = scans(
        study, brain_mask_pattern=f"{tmp_path}/bet/{{sub}}/**/{{sub}}*_mask.nii.gz", pattern="sub-01/**/*FLAIR*"
    )
    assert [entry["brain_mask"] for entry in found] == [str(tmp_path / "bet/sub-01/anat/sub-01_mask.nii.gz")]


def test_any_number_of_scans_and_folders(study, tmp_path):
    alone = save(IMAGE, tmp_path / "alone.nii.gz")
    # the same in another spelling is the same
    again = [f"{study}/../alone.nii.gz", f"{tmp_path}/./alone.nii.gz"]
    entries = scans(alone, study, study / "sub-01/anat/sub-01_FLAIR.nii.gz", alone, *again)
    assert len(entries) == 4 and entries[0]["case"] == "alone"
    with pytest.raises(InputError, match=r"missing\.nii: no such file"):
        scans(alone, tmp_path / "missing.nii")


def test_a_scan_that_cannot_be_read_ends_no_run(study):
    """Also where a brain mask in derivatives could be its own: its header is looked at before the run begins."""
    for person in ("sub-01", "sub-02"):
        save(BRAIN, study / f"derivatives/bet/{person}/anat/{person}_ses-1_desc-brain_mask.nii.gz")
        save(BRAIN, study / f"derivatives/bet/{person}/anat/{person}_desc-brain_mask.nii.gz")
    (study / "sub-01/anat/sub-01_FLAIR.nii.gz").write_bytes(b"cut short")
    first, second, _ = scans(study)
    assert "brain_mask" not in first and second["brain_mask"].endswith("sub-02_ses-1_desc-brain_mask.nii.gz")


def test_options_count_where_one_scan_is_given_by_contrast(tmp_path):
    images = {name: save(IMAGE, tmp_path / f"{name}.nii.gz") for name in ("flair", "t1")}
    mask = save(BRAIN, tmp_path / "flair_brain.nii.gz")
    options = {"image": images, "brain_mask_pattern": "{name}_brain.nii.gz", "series": "2", "contrasts": ["t1"]}
    (entry,) = inference_data(**options)
    assert (entry["brain_mask"], entry["series"], entry["others"]) == (mask, "2", {"t1": images["t1"]})
    with pytest.raises(InputError, match="0 brain masks match"):
        list(inference_data(**{**options, "modality": "t1"}))
