import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from skimage import measure

from bundle.errors import InputError
from bundle.phantom.cohort import write_cohort
from bundle.phantom.lesions import LESIONS
from bundle.phantom.people import AFFINE, SHAPE, simulate


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


def number_of(person: int, modality: str, lesion: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What stands for a simulation, which takes ten seconds: volumes that tell what was asked for."""
    said = [person, ("flair", "t1", "t2").index(modality), 0 if lesion is None else 1 + list(LESIONS).index(lesion)]
    return np.array([[said]], np.int32), np.array([[said[::-1]]], np.int32) * (lesion is not None)


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
