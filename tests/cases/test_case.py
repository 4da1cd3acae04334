import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.cases import CaseFolder, RunFolder, SaveCased, finished_cases
from bundle.cases.case import nifti_like
from bundle.errors import InputError
from tests.heads import AFFINE, save, simulate_head

HEADER: dict = {}
SAVE = {"keys": ["pred", "error"], "postfixes": ["mask", "error"], "dtypes": ["uint8", "float32"]}


def found(value: float = 0.5) -> dict:
    """What is known of a case of 4 x 5 x 3 voxels at the end of its journey; its mask is one corner."""
    mask = torch.zeros(1, 4, 5, 3)
    mask[0, 3, 4, 2] = 1
    affine = torch.as_tensor(AFFINE)
    volumes = {"pred": mask, "error": torch.full_like(mask, value)}
    statistics = {"case": "scan", "lesion_ml": 0.05}
    image = MetaTensor(torch.zeros(1, 2, 2, 2), affine=affine)
    return {
        "case": "scan",
        "statistics": statistics,
        "image": image,
        **{k: MetaTensor(v, affine=affine) for k, v in volumes.items()},
    }


def save_cased(folder, **options) -> SaveCased:
    weights = folder / "weights.pt"
    weights.write_text("of a model")
    run_folder = RunFolder(str(folder / "out"), weights=str(weights))
    run_folder.claim([{"case": "scan", "image": save(np.ones((2, 2, 2), np.uint8), folder / "scan.nii.gz")}])
    return SaveCased(run_folder=run_folder, **{**SAVE, **options})


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_case_is_written_whole_and_read_again(tmp_path):
    data = save_cased(tmp_path)(found())
    assert names(tmp_path / "out") == ["scan"]
    assert names(tmp_path / "out" / "scan") == ["scan_error.nii.gz", "scan_mask.nii.gz", "scan_statistics.json"]
    case = CaseFolder(tmp_path / "out" / "scan")
    assert case.statistics().items() >= data["statistics"].items()
    mask = nib.load(case.file("mask"))
    assert mask.get_data_dtype() == np.uint8 and np.array_equal(mask.affine, AFFINE)
    assert np.argwhere(np.asarray(mask.dataobj)).tolist() == [[3, 4, 2]]
    assert case.has("error") and not case.has("score")
    assert np.array_equal(case.volume("error"), np.full((4, 5, 3), 0.5))


def test_scores_that_do_not_exist_are_null_in_the_file(tmp_path):
    case = CaseFolder(tmp_path / "scan")
    case.write_scores({"scores": {"dice": float("nan"), "lesions": 0}, "slice_scores": [{"dice": 0.5}]})
    assert '"dice": null' in case.file("scores").read_text()
    assert np.isnan(case.scores()["scores"]["dice"])
    assert case.scores()["scores"]["lesions"] == 0 and case.scores()["slice_scores"] == [{"dice": 0.5}]


def test_a_case_that_cannot_be_written_leaves_the_old_one(tmp_path):
    transform = save_cased(tmp_path)
    transform(found())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "scan").iterdir()}
    broken = found(0.7)
    broken["statistics"] = {"not": {1, 2, 3}}
    with pytest.raises(TypeError):
        transform(broken)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "scan").iterdir()} == before
    assert names(tmp_path / "out") == ["scan"], "half-written files are taken away"


def test_what_an_earlier_run_left_of_a_case_goes(tmp_path):
    """A run without a score must not leave that of another run beside its own mask; other files are not touched."""
    transform = save_cased(tmp_path, allow_missing_keys=True)
    transform(found())
    for name in ("corrected.nii.gz", "scan_score.nii.gz", "scan_slices.csv", "scan_film.png"):
        (tmp_path / "out" / "scan" / name).write_text("mine, or of an evaluation")
    data = found()
    del data["error"]
    transform(data)
    assert names(tmp_path / "out" / "scan") == ["corrected.nii.gz", "scan_mask.nii.gz", "scan_statistics.json"]


def test_scan_brain_and_label_are_found_again(tmp_path):
    image, lesion = simulate_head(3, lesion=True)
    statistics = {"image": save(image, tmp_path / "scan.nii.gz"), "label": save(lesion, tmp_path / "label.nii.gz")}
    case = CaseFolder(tmp_path / "out" / "scan")
    case.write_results([], statistics, HEADER)
    scan = np.asarray(case.scan()[0])
    assert np.array_equal(scan, image) and np.array_equal(case.brain(scan, None), image > 0)
    assert case.label().dtype == bool and np.array_equal(case.label(), lesion > 0)
    case.write_results([], {"image": statistics["image"]}, HEADER)
    assert case.label() is None


def test_cases_of_a_folder(tmp_path):
    for name in ("b", "a"):
        CaseFolder(tmp_path / name).write_results([], {"case": name}, HEADER)
    (tmp_path / "c").mkdir()
    (tmp_path / "report.html").touch()
    # of a run that was killed before it put the case in its place
    CaseFolder(tmp_path / ".b.unfinished" / "b").write("statistics", "{}")
    assert [case.name for case in finished_cases(tmp_path)] == ["a", "b"]
    assert list(finished_cases(tmp_path / "none")) == []
    with pytest.raises(InputError, match=r"c_statistics\.json: missing or damaged"):
        CaseFolder(tmp_path / "c").statistics()
    CaseFolder(tmp_path / "a").clear()
    assert not (tmp_path / "a").exists()


def header_of(path) -> dict:
    header = nib.load(path).header
    return {name: header[name] for name in header}


def test_results_lie_where_every_viewer_shows_the_scan(tmp_path):
    """qform, sform, their codes, units, the slice axis and a fourth axis of length one are those of the scan."""
    sheared = AFFINE.copy()
    sheared[:2, 2] = 1.2, -0.8
    scan = nib.Nifti1Image(np.zeros((4, 5, 3, 1), np.int16), None)
    scan.set_sform(sheared, 4)
    scan.set_qform(AFFINE, 1)
    scan.header.set_xyzt_units("mm", "sec")
    scan.header.set_dim_info(freq=0, phase=1, slice=2)
    scan.header.set_slope_inter(2, 5)
    nib.save(scan, tmp_path / "scan.nii.gz")
    volume = MetaTensor(torch.ones(1, 4, 5, 3), affine=torch.as_tensor(sheared))
    nib.save(nifti_like(volume, np.dtype("uint8"), header_of(tmp_path / "scan.nii.gz")), tmp_path / "mask.nii.gz")
    scan, mask = nib.load(tmp_path / "scan.nii.gz"), nib.load(tmp_path / "mask.nii.gz")
    for of in (lambda x: x.header.get_sform(), lambda x: x.header.get_qform(), lambda x: x.affine):
        assert np.array_equal(of(mask), of(scan))
    for name in ("sform_code", "qform_code", "xyzt_units", "dim_info"):
        assert mask.header[name] == scan.header[name] > 0
    assert mask.shape == (4, 5, 3, 1) and mask.get_data_dtype() == np.uint8 and np.asarray(mask.dataobj).min() == 1


def test_a_header_without_orientation_claims_none(tmp_path):
    scan = nib.Nifti1Image(np.zeros((4, 5, 3), np.int16), None)
    scan.header.set_zooms((3, 3, 6))
    nib.save(scan, tmp_path / "scan.nii")
    affine = nib.load(tmp_path / "scan.nii").affine
    volume = MetaTensor(torch.ones(1, 4, 5, 3), affine=torch.as_tensor(affine))
    nib.save(nifti_like(volume, np.dtype("uint8"), header_of(tmp_path / "scan.nii")), tmp_path / "mask.nii")
    mask = nib.load(tmp_path / "mask.nii")
    assert mask.header["sform_code"] == mask.header["qform_code"] == 0 and np.array_equal(mask.affine, affine)


def test_what_is_no_nifti_gets_sform_and_qform(tmp_path):
    volume = MetaTensor(torch.ones(1, 4, 5, 3), affine=torch.as_tensor(AFFINE))
    image = nifti_like(volume, np.dtype("uint8"), {})
    assert np.allclose(image.get_qform(), AFFINE) and image.header["qform_code"] == image.header["sform_code"] == 1
    sheared = AFFINE.copy()
    sheared[0, 2] = 2.0
    volume.affine = torch.as_tensor(sheared)
    image = nifti_like(volume, np.dtype("uint8"), {})
    assert image.header["qform_code"] == 0 and np.allclose(image.affine, sheared), "a qform cannot hold a shear"
