import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.cases import CaseFolder, SaveCased, finished_cases
from bundle.errors import InputError
from tests.heads import AFFINE, save, simulate_head

SAVE = {"keys": ["pred", "error"], "postfixes": ["mask", "error"], "dtypes": ["uint8", "float32"]}


def found(value: float = 0.5) -> dict:
    """What is known of a case of 4 x 5 x 3 voxels at the end of its journey; its mask is one corner."""
    mask = torch.zeros(1, 4, 5, 3)
    mask[0, 3, 4, 2] = 1
    affine = torch.as_tensor(AFFINE)
    volumes = {"pred": mask, "error": torch.full_like(mask, value)}
    statistics = {"case": "scan", "lesion_ml": 0.05}
    return {"case": "scan", "statistics": statistics, **{k: MetaTensor(v, affine=affine) for k, v in volumes.items()}}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_case_is_written_whole_and_read_again(tmp_path):
    data = SaveCased(output_dir=str(tmp_path), **SAVE)(found())
    assert names(tmp_path) == ["scan"]
    assert names(tmp_path / "scan") == ["scan_error.nii.gz", "scan_mask.nii.gz", "scan_statistics.json"]
    case = CaseFolder(tmp_path / "scan")
    assert case.statistics() == data["statistics"]
    mask = nib.load(case.file("mask"))
    assert mask.get_data_dtype() == np.uint8 and np.array_equal(mask.affine, AFFINE)
    assert np.argwhere(np.asarray(mask.dataobj)).tolist() == [[3, 4, 2]]
    assert case.has("error") and not case.has("score")
    assert np.array_equal(case.volume("error"), np.full((4, 5, 3), 0.5))


def test_a_case_that_cannot_be_written_leaves_the_old_one(tmp_path):
    transform = SaveCased(output_dir=str(tmp_path), **SAVE)
    transform(found())
    before = {path.name: path.read_bytes() for path in (tmp_path / "scan").iterdir()}
    broken = found(0.7)
    broken["statistics"] = {"not": {1, 2, 3}}
    with pytest.raises(TypeError):
        transform(broken)
    assert {path.name: path.read_bytes() for path in (tmp_path / "scan").iterdir()} == before
    assert names(tmp_path) == ["scan"], "half-written files are taken away"


def test_what_an_earlier_run_left_of_a_case_goes(tmp_path):
    """A run without a score must not leave that of another run beside its own mask; other files are not touched."""
    transform = SaveCased(output_dir=str(tmp_path), **SAVE, allow_missing_keys=True)
    transform(found())
    for name in ("corrected.nii.gz", "scan_score.nii.gz", "scan_slices.csv", "scan_film.png"):
        (tmp_path / "scan" / name).write_text("mine, or of an evaluation")
    data = found()
    del data["error"]
    transform(data)
    assert names(tmp_path / "scan") == ["corrected.nii.gz", "scan_mask.nii.gz", "scan_statistics.json"]


def test_scan_brain_and_label_are_found_again(tmp_path):
    image, lesion = simulate_head(3, lesion=True)
    statistics = {"image": save(image, tmp_path / "scan.nii.gz"), "label": save(lesion, tmp_path / "label.nii.gz")}
    case = CaseFolder(tmp_path / "out" / "scan")
    case.write_results([], statistics)
    scan = np.asarray(case.scan()[0])
    assert np.array_equal(scan, image) and np.array_equal(case.brain(scan), image > 0)
    assert case.label().dtype == bool and np.array_equal(case.label(), lesion > 0)
    case.write_results([], {"image": statistics["image"]})
    assert case.label() is None


def test_cases_of_a_folder(tmp_path):
    for name in ("b", "a"):
        CaseFolder(tmp_path / name).write_results([], {"case": name})
    (tmp_path / "c").mkdir()
    (tmp_path / "report.html").touch()
    assert [case.name for case in finished_cases(tmp_path)] == ["a", "b"]
    assert list(finished_cases(tmp_path / "none")) == []
    with pytest.raises(InputError, match=r"c_statistics\.json: missing or damaged"):
        CaseFolder(tmp_path / "c").statistics()
    CaseFolder(tmp_path / "a").clear()
    assert not (tmp_path / "a").exists()
