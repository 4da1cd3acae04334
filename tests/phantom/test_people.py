import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from skimage import measure

from bundle.errors import InputError
from bundle.phantom.cohort import write_cohort
from bundle.phantom.lesions import LESIONS
from bundle.phantom.people import simulate
from bundle.phantom.shapes import on_template, shapes_in
from bundle.phantom.template import AFFINE, SHAPE, on_people_grid, template_image, turned


def test_a_healthy_brain():
    image, label = simulate(0, "flair")
    assert image.shape == SHAPE and image.dtype == np.int16 and not label.any()
    assert 1.3e6 < (image > 0).sum() < 2.3e6 and image.min() == 0
    # one connected brain: no voxel of it lies outside its largest component
    assert measure.label(image > 0, connectivity=1).max() == 1
    # ventricles darker than white matter, as in FLAIR
    middle = image[110:130, 100:140, 60:90]
    assert np.percentile(middle[middle > 0], 1) < 0.4 * np.median(image[image > 0])


def test_unknown_names():
    with pytest.raises(ValueError, match="Unknown modality"):
        simulate(0, "ct")
    with pytest.raises(ValueError, match="Unknown lesion"):
        simulate(0, "flair", "cold")
    with pytest.raises(InputError, match="cold: no such kind"):
        write_cohort("never made", kinds=["ms", "cold"])
    assert not Path("never made").exists()


def number_of(
    person: int, modality: str, lesion: str | None = None, shape: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What stands for a simulation, which takes ten seconds: volumes that tell what was asked for."""
    kind = 0 if lesion is None else 1 + list(LESIONS).index(lesion)
    said = [person, ("flair", "t1", "t2").index(modality), kind if shape is None else 100 + int(shape.name[0])]
    return np.array([[said]], np.int32), np.array([[said[::-1]]], np.int32) * (kind > 0 or shape is not None)


def test_a_cohort_is_listed_and_finished_by_the_same_call(tmp_path, monkeypatch):
    # its processes are forks of this one
    monkeypatch.setattr("bundle.phantom.cohort.simulate", number_of)
    options = {"modality": "t1", "training": 2, "validation": 1, "patients": 4, "seed": 5, "workers": 2}
    datalist = json.loads(Path(write_cohort(str(tmp_path), **options)).read_text())
    assert {split: len(entries) for split, entries in datalist.items()} == {"training": 2, "validation": 1, "test": 4}
    assert [patient["disease"] for patient in datalist["test"]] == ["glioma", "stroke", "ms", "glioma"]
    for split, first in (("training", 5), ("validation", 10_005), ("test", 20_005)):
        for number, entry in enumerate(datalist[split], first):
            expected = number_of(number, "t1", entry.get("disease"))
            assert ("label" in entry) == (split == "test") == ("disease" in entry)
            for key, volume in zip(("image", "label"), expected):
                if key in entry:
                    written = nib.load(tmp_path / entry[key])
                    assert np.array_equal(written.dataobj, volume) and np.array_equal(written.affine, AFFINE)

    patient = datalist["test"][0]
    (tmp_path / datalist["training"][0]["image"]).unlink()
    before = (tmp_path / patient["image"]).stat().st_mtime_ns
    write_cohort(str(tmp_path), **options)
    assert (tmp_path / datalist["training"][0]["image"]).exists()
    assert (tmp_path / patient["image"]).stat().st_mtime_ns == before


def write_mask(path: Path, corner: tuple[int, int, int], affine: np.ndarray) -> Path:
    """A cube of 3 x 3 x 3 voxels in a mask of 20 x 20 x 20."""
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[tuple(slice(place, place + 3) for place in corner)] = 1
    nib.save(nib.Nifti1Image(mask, affine), path)
    return path


def test_patients_have_shapes_of_real_lesions_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.phantom.cohort.simulate", number_of)
    shapes = tmp_path / "shapes"
    (shapes / "below").mkdir(parents=True)
    for name in ("below/2.nii", "1.nii.gz"):
        write_mask(shapes / name, (4, 4, 4), np.eye(4))
    options = {"training": 1, "validation": 0, "patients": 3, "workers": 1, "lesion_shapes": str(shapes)}
    datalist = json.loads(Path(write_cohort(str(tmp_path / "cohort"), **options)).read_text())
    assert [entry["disease"] for entry in datalist["test"]] == ["shape 1.nii.gz", "shape 2.nii", "shape 1.nii.gz"]
    painted = [nib.load(tmp_path / "cohort" / entry["image"]).dataobj[0, 0, 2] for entry in datalist["test"]]
    assert painted == [101, 102, 101] and "label" not in datalist["training"][0]


def test_a_shape_lies_where_the_template_has_it(tmp_path):
    """A cube of 6 mm in voxels of 2 mm that point left, posterior and up."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = 30.0, 10.0, 0.0
    placed = on_people_grid(turned(on_template(write_mask(tmp_path / "a.nii", (4, 6, 7), affine))))[0].numpy()
    assert placed.shape == SHAPE and placed.max() == 1 and placed.sum() == pytest.approx(27 * 8, rel=0.2)
    # the same place by way of the template's own tissue: its voxel there, turned and placed like it
    template = template_image("wm")
    centre = nib.affines.apply_affine(np.linalg.inv(template.affine) @ affine, (5, 7, 8)).round().astype(int)
    one = np.zeros(template.shape, np.float32)
    one[tuple(centre)] = 1
    there = np.argwhere(on_people_grid(turned(one))[0].numpy())[0]
    assert np.allclose(np.argwhere(placed > 0.5).mean(axis=0), there, atol=1.01)


def test_masks_that_are_no_shapes(tmp_path):
    with pytest.raises(InputError, match="no mask; give --lesion_shapes"):
        shapes_in(str(tmp_path))
    far = np.eye(4)
    far[:3, 3] = 500.0
    with pytest.raises(InputError, match="marks nothing within the MNI template"):
        shapes_in(str(write_mask(tmp_path / "far.nii", (4, 4, 4), far).parent))
    (tmp_path / "far.nii").write_text("no NIfTI")
    with pytest.raises(InputError, match=r"far\.nii: cannot be read"):
        shapes_in(str(tmp_path))


def test_patients_who_are_there_keep_their_lesions(tmp_path, monkeypatch):
    """Another contrast of them with other kinds would replace the label that the first image has."""
    monkeypatch.setattr("bundle.phantom.cohort.simulate", number_of)
    options = {"training": 0, "validation": 0, "patients": 2, "workers": 1}
    write_cohort(str(tmp_path), kinds=("glioma", "ms"), **options)
    before = (tmp_path / "datalist.json").read_text()
    for modality in ("flair", "t1"):
        with pytest.raises(InputError, match=r"Simulated_20000_seg.nii.gz: .* another kind \(glioma\)"):
            write_cohort(str(tmp_path), modality=modality, kinds=("stroke",), **options)
    assert (tmp_path / "datalist.json").read_text() == before
    write_cohort(str(tmp_path), modality="t1", kinds=("glioma", "ms"), **options)
    assert (tmp_path / "Simulated_20001" / "Simulated_20001_t1.nii.gz").exists()


@pytest.mark.parametrize("theirs", ['{"test": [{"image": "scan.nii.gz"}]}', "[]x", '{"test": 1}'])
def test_a_datalist_of_other_scans_is_never_replaced(theirs, tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.phantom.cohort.simulate", number_of)
    (tmp_path / "datalist.json").write_text(theirs)
    with pytest.raises(InputError, match=r"datalist\.json: it lists scans that were not simulated"):
        write_cohort(str(tmp_path), training=1, validation=0, patients=0, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["datalist.json"]
    assert (tmp_path / "datalist.json").read_text() == theirs


def test_nobody_is_no_cohort(tmp_path):
    with pytest.raises(InputError, match="0 people"):
        write_cohort(str(tmp_path / "none"), training=0, validation=0, patients=0)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("numbers", [{"training": 10_001}, {"validation": 10_001}, {"seed": 2**32 - 20_000}])
def test_no_person_is_in_two_splits(numbers, tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.phantom.cohort.simulate", number_of)
    with pytest.raises(InputError, match="ask for fewer people, or give a smaller seed"):
        write_cohort(str(tmp_path / "never made"), **numbers)
    assert not (tmp_path / "never made").exists()
