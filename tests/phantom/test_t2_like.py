"""T2-like scans of T1 scans."""

import json

import nibabel as nib
import numpy as np
import pytest

from bundle.cli.main import main
from bundle.phantom.t2_like import t2_like
from tests.heads import AFFINE, save


@pytest.fixture
def t1():
    """A ball of white matter in grey matter in fluid, with noise, as T1 shows them."""
    axes = np.ogrid[-12:12, -12:12, -6:6]
    distance = np.sqrt(axes[0] ** 2 + axes[1] ** 2 + (2 * axes[2]) ** 2)
    image = np.select([distance < 6, distance < 9, distance < 11], [900, 600, 200], 0).astype(float)
    noise = np.random.RandomState(0).standard_normal(image.shape)
    return np.where(image > 0, image + 15 * noise, 0).round(), distance


def test_fluid_is_bright_and_white_matter_dark(t1):
    image, distance = t1
    found = t2_like(image, np.random.RandomState(1))
    white, grey, fluid = (
        np.median(found[part]) for part in (distance < 5, (distance > 6.5) & (distance < 8.5), image == 200)
    )
    assert fluid > 2 * grey > 2.2 * white > 0
    assert np.array_equal(found > 0, image > 0) and found.dtype == np.int16
    assert np.array_equal(found, t2_like(image, np.random.RandomState(1)))


def test_a_datalist_is_turned_over_with_its_labels_and_splits(t1, tmp_path):
    image, distance = t1
    for name in ("a", "b"):
        save(image.astype(np.int16), tmp_path / f"{name}_t1.nii.gz")
    save((distance < 3).astype(np.uint8), tmp_path / "a_seg.nii.gz")
    a = {"image": {"flair": "missing.nii.gz", "t1": "a_t1.nii.gz"}, "label": "a_seg.nii.gz"}
    datalist = tmp_path / "t1.json"
    datalist.write_text(json.dumps({"training": [a], "validation": [{"image": "b_t1.nii.gz"}], "test": []}))
    assert main(["t2-like", str(datalist), str(tmp_path / "t2")]) == 0
    found = json.loads((tmp_path / "t2" / "datalist.json").read_text())
    assert set(found) == {"training", "validation"}
    (entry,) = found["training"]
    assert entry["label"] == str(tmp_path / "a_seg.nii.gz")
    written = nib.load(entry["image"])
    assert np.array_equal(np.asarray(written.dataobj) > 0, image > 0) and np.allclose(written.affine, AFFINE)


def test_a_scan_of_two_values_is_refused(tmp_path, capsys):
    image = np.zeros((24, 24, 12), np.int16)
    image[4:20, 4:20, 2:10] = 5
    image[8:16, 8:16, 4:8] = 9
    save(image, tmp_path / "flat.nii.gz")
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "flat.nii.gz"}]}))
    assert main(["t2-like", str(tmp_path / "list.json"), str(tmp_path / "t2")]) == 1
    assert "flat.nii.gz: it has too few grey values" in capsys.readouterr().err
    assert not (tmp_path / "t2" / "datalist.json").exists()


def test_what_is_no_datalist_and_a_brain_mask_elsewhere_are_one_sentence(t1, tmp_path, capsys):
    image, _ = t1
    save(image.astype(np.int16), tmp_path / "a.nii.gz")
    save((image > 0).astype(np.uint8)[:-1], tmp_path / "brain.nii.gz")
    datalist = tmp_path / "list.json"
    for content, said in (
        ("no JSON", "list.json: not valid JSON"),
        ("[]", "list.json: it lists no scan for training, validation or test"),
        ('{"training": [{"image": "a.nii.gz", "brain_mask": "brain.nii.gz"}]}', "the shape of the brain mask (23 x 24"),
    ):
        datalist.write_text(content)
        assert main(["t2-like", str(datalist), str(tmp_path / "t2")]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "t2" / "datalist.json").exists()


def test_scans_of_one_name_in_two_splits_are_two(t1, tmp_path):
    """The second was taken for the first, which was there already: a test scan was one of the training."""
    image, _ = t1
    for patient, gain in (("a", 1), ("b", 2)):
        save((gain * image).astype(np.int16)[:, ::gain], tmp_path / patient / "t1.nii.gz")
    splits = {"training": [{"image": "a/t1.nii.gz"}], "test": [{"image": "b/t1.nii.gz"}]}
    (tmp_path / "list.json").write_text(json.dumps(splits))
    assert main(["t2-like", str(tmp_path / "list.json"), str(tmp_path / "t2")]) == 0
    found = json.loads((tmp_path / "t2" / "datalist.json").read_text())
    shapes = {split: nib.load(found[split][0]["image"]).shape for split in found}
    assert shapes == {"training": (24, 24, 12), "test": (24, 12, 12)}
