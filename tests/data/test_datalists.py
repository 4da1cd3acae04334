import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Orientationd

from bundle.data.datalists import read_datalist, training_data
from bundle.data.datasets import SliceDataset, ready_for_threads
from bundle.data.scans import inference_data
from bundle.errors import InputError
from bundle.preprocessing import FieldOfViewd
from tests.dicom import write_series
from tests.heads import AFFINE, save, simulate_head, write_head


def slices_transform(image_size=32, skull_strip="auto"):
    parser = ConfigParser()
    parser.read_config("configs/train.json")
    parser["image_size"], parser["skull_strip"] = image_size, skull_strip
    return parser.get_parsed_content("train#preprocessing")


def test_datalist_paths_are_relative_to_the_file(tmp_path):
    entry = {
        "image": "a/x.nii.gz",
        "label": "/far/y.nii.gz",
        "brain_mask": "../m.nii.gz",
        "lesion": "x",
        "disease": "ms",
    }
    (tmp_path / "list.json").write_text(json.dumps({"test": [entry]}))
    (read,) = read_datalist(str(tmp_path / "list.json"), "test")
    assert read["image"] == str(tmp_path / "a" / "x.nii.gz") and read["label"] == "/far/y.nii.gz"
    assert read["brain_mask"].endswith("m.nii.gz") and read["case"] == "x" and "lesion" not in read
    assert read["disease"] == "ms"


def test_cases_of_one_name_are_told_apart(tmp_path):
    for subject in ("a/1", "a/2", "b/1"):
        write_head(tmp_path / subject, "scan", 0)
    cases = inference_data(image=str(tmp_path))
    assert [case["case"] for case in cases] == ["a_1_scan_flair", "a_2_scan_flair", "b_1_scan_flair"]


@pytest.mark.parametrize(
    ("images", "cases"),
    [
        (["x.nii", "y.nii", "x.nii"], ["x", "y", "x_2"]),
        (["x.nii", "x.nii", "x_2.nii"], ["x", "x_3", "x_2"]),
        (["x_2.nii", "x.nii", "x.nii"], ["x_2", "x", "x_3"]),
    ],
)
def test_an_image_that_is_listed_twice_is_two_cases(images, cases, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps({"test": [{"image": image} for image in images]}))
    assert [entry["case"] for entry in read_datalist(str(tmp_path / "list.json"), "test")] == cases


def test_folders_hold_images_and_their_masks(tmp_path):
    """Neither labels nor the results of an earlier run are taken for images."""
    head = write_head(tmp_path / "one", "one", 0, lesion=True)
    for name in (
        "one_mask",
        "one_error",
        "one_reconstruction",
        "one-seg",
        "seg",
        "one_iterations",
        "one_score",
        "lesion",
    ):
        save(simulate_head(0)[0], tmp_path / "one" / f"{name}.nii.gz")
    assert [case["image"] for case in inference_data(image=str(tmp_path))] == [head["image"]]
    with pytest.raises(InputError, match="no image found"):
        list(inference_data(image=str(tmp_path), pattern="**/*_t1.nii.gz"))


def test_one_brain_mask_for_many_images_is_refused(tmp_path):
    for i in range(2):
        write_head(tmp_path, str(i), i)
    with pytest.raises(InputError, match="one brain mask was given for 2 images"):
        list(inference_data(image=str(tmp_path), brain_mask="mask.nii.gz"))


def test_subjects_are_never_split(tmp_path):
    """Both scans of a subject are on the same side, whatever the seed."""
    for subject in range(6):
        for visit in range(2):
            write_head(tmp_path / f"subject_{subject}", f"visit_{visit}", subject)
    for seed in range(5):
        options = {"dataset_dir": str(tmp_path), "datalist": "", "validation_fraction": 0.34, "seed": seed}
        training, validation = (training_data(split=split, **options) for split in ("training", "validation"))
        sides = [{entry["image"].split("/")[-2] for entry in side} for side in (training, validation)]
        assert len(training) == 8 and len(validation) == 4 and not sides[0] & sides[1]


def test_a_datalist_that_is_named_has_to_be_there(tmp_path):
    for i in range(2):
        write_head(tmp_path, str(i), i)
    options = {"dataset_dir": str(tmp_path), "split": "training"}
    assert len(training_data(datalist=f"{tmp_path}/datalist.json", **options)) == 1
    with pytest.raises(InputError, match=r"dataset.json: no such file"):
        training_data(datalist=f"{tmp_path}/dataset.json", **options)


def test_slices_have_no_lesion_and_are_limited_evenly(tmp_path):
    data = [write_head(tmp_path, str(i), i, lesion=i == 1) for i in range(2)]
    whole = SliceDataset([{"image": entry["image"]} for entry in data], slices_transform())
    free = SliceDataset(data, slices_transform())
    lesion_slices = simulate_head(1, lesion=True)[1].any(axis=(0, 1)).sum()
    assert len(whole) - len(free) >= lesion_slices + 2
    assert free[0]["image"].shape == (1, 32, 32)
    few = SliceDataset(data, slices_transform(), limit=4)
    assert len(few) == 4 and torch.equal(few[0]["image"], free[0]["image"])
    doubled = SliceDataset(data, slices_transform(), slice_transform=lambda d: {"image": 2 * d["image"]})
    assert torch.equal(doubled[3]["image"], 2 * free[3]["image"])


def test_scans_with_a_pseudo_label_are_for_the_judge_alone(tmp_path):
    healthy, patient = write_head(tmp_path, "healthy", 0), write_head(tmp_path, "patient", 1, lesion=True)
    data = [healthy, {"image": patient["image"], "pseudo_label": patient["label"]}]
    alone = SliceDataset([healthy], slices_transform())
    assert len(SliceDataset(data, slices_transform())) == len(alone)
    judged = SliceDataset(data, slices_transform(), keys=["image", "pseudo_label"])
    assert len(judged) > len(alone) and any(item["pseudo_label"].any() for item in judged)


def test_a_skull_in_the_training_data_is_said(tmp_path, caplog):
    image = np.pad(simulate_head(0)[0], 12, constant_values=3)
    path = save(image, tmp_path / "head.nii.gz", AFFINE @ np.diag([1.4, 1.3, 2.0, 1]))
    SliceDataset([{"image": path}], slices_transform(skull_strip="never"))
    assert f"{path}: THE SKULL SEEMS TO BE STILL ON" in caplog.text


def test_cached_volumes_are_not_read_again(tmp_path):
    data = [write_head(tmp_path / "scans", "one", 0)]
    first = SliceDataset(data, slices_transform(), cache_dir=str(tmp_path / "cache"))
    # unreadable now, and no word of it in size and time
    scan = Path(data[0]["image"])
    before = scan.stat()
    scan.write_bytes(bytes(before.st_size))
    os.utime(scan, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = SliceDataset(data, slices_transform(), cache_dir=str(tmp_path / "cache"))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, again))


def test_cached_slices_are_read_from_their_files_when_they_are_asked_for(tmp_path):
    data = [write_head(tmp_path / "scans", str(i), i) for i in range(2)]
    in_memory = SliceDataset(data, slices_transform())
    for _ in range(2):
        mapped = SliceDataset(data, slices_transform(), cache_dir=str(tmp_path / "cache"))
        assert len(mapped) == len(in_memory) > 2
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(mapped, in_memory))
        assert all(item["image"].is_contiguous() for item in mapped.data)
        # the kernel lists the files that are mapped
        maps = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else str(tmp_path / "cache") * 2
        assert maps.count(str(tmp_path / "cache")) >= 2


def test_a_volume_whose_label_was_corrected_is_not_taken_from_the_cache(tmp_path):
    entry = write_head(tmp_path, "one", 0, lesion=True)
    lesion = nib.load(entry["label"]).get_fdata().astype("uint8")

    def slices() -> SliceDataset:
        return SliceDataset([entry], slices_transform(), cache_dir=str(tmp_path / "cache"))

    save(0 * lesion, tmp_path / "one_seg.nii.gz")
    whole = slices()
    save(lesion, tmp_path / "one_seg.nii.gz")
    corrected = slices()
    assert len(corrected) == len(SliceDataset([entry], slices_transform())) < len(whole)
    assert corrected.made_from != whole.made_from and slices().made_from == corrected.made_from


def test_volumes_cached_by_other_settings_are_preprocessed_anew(tmp_path):
    data = [write_head(tmp_path, "one", 0)]
    sizes = [
        SliceDataset(data, slices_transform(size), cache_dir=str(tmp_path / "cache"))[0]["image"].shape[1]
        for size in (32, 16, 32)
    ]
    assert sizes == [32, 16, 32]


def test_no_slice_left(tmp_path):
    entry = write_head(tmp_path, "one", 0)
    everywhere = simulate_head(0)[0] > 0
    everywhere[:, ::2] = False
    entry["label"] = save(everywhere.astype("uint8"), tmp_path / "all_seg.nii.gz")
    with pytest.raises(InputError, match="no lesion-free slice remains"):
        SliceDataset([entry], slices_transform())


def test_a_scan_in_two_splits_is_refused(tmp_path):
    """Neither trained on nor scored, also where its path is written in another way."""
    (tmp_path / "a").mkdir()
    splits = {name: [{"image": f"{name}.nii", "label": "l.nii"}] for name in ("training", "validation", "test")}
    splits["test"].append({"image": "a/../training.nii", "label": "l.nii"})
    path = tmp_path / "list.json"
    path.write_text(json.dumps(splits))
    for read in (
        lambda: training_data("", str(path), "training"),
        lambda: read_datalist(str(path), "test", ("image", "label")),
    ):
        with pytest.raises(InputError, match=r'training\.nii is in the split "training" and in the split "test"'):
            read()


def test_transforms_are_ready_for_threads():
    """Those too that others are made of; MONAI would make their notes in the first of the threads that use them."""
    transform = slices_transform()
    place, turn = (
        next(one for one in transform.transforms if isinstance(one, kind)) for kind in (FieldOfViewd, Orientationd)
    )
    inner = (place, place.padder, place.cropper, turn.ornt_transform)
    assert not any("_tracing" in vars(part) for part in inner)
    ready_for_threads({"transforms": [transform]})
    assert all("_tracing" in vars(part) for part in inner)


def test_the_series_of_a_datalist_is_the_one_that_is_learnt_from(tmp_path):
    """Of a folder with several DICOM series a training takes the one that its datalist names."""
    heads = [simulate_head(number)[0] for number in range(2)]
    for number, head in enumerate(heads, 1):
        write_series(head, AFFINE, tmp_path / "dicom", series=str(number), SeriesDescription=f"scan {number}")
    entries = [{"image": "dicom", "series": f"scan {number}"} for number in (1, 2)]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}))
    data = read_datalist(str(tmp_path / "list.json"), "training")
    first, second = (SliceDataset([entry], slices_transform(), cache_dir=str(tmp_path / "cache")) for entry in data)
    saved = SliceDataset([{"image": save(heads[1], tmp_path / "second.nii.gz")}], slices_transform())
    assert torch.equal(second[2]["image"], saved[2]["image"]) and not torch.equal(first[2]["image"], saved[2]["image"])
    assert first.made_from != second.made_from


def test_somebody_is_left_to_learn_from(tmp_path):
    """Of two people a share of 0.9 would be both; a share of 1 is, for a calibration."""
    for name in ("a", "b"):
        write_head(tmp_path, name, 0)

    def listed(split: str, share: float) -> list[dict]:
        return training_data(str(tmp_path), "", split, validation_fraction=share)

    assert [len(listed(split, 0.9)) for split in ("training", "validation")] == [1, 1]
    assert [len(listed(split, 1.0)) for split in ("training", "validation")] == [0, 2]
    with pytest.raises(InputError, match="No scan is left to learn from"):
        SliceDataset(listed("training", 1.0), slices_transform())
