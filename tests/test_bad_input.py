"""Every fault of the input gets one sentence with file, fault and remedy; the other volumes are still done."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.data.loading import LoadVolumed
from bundle.errors import InputError, input_error
from bundle.preprocessing.brain_mask import BrainMaskd
from bundle.preprocessing.placing import FieldOfViewd
from tests.flows import JUDGED, command, run
from tests.heads import AFFINE, save, simulate_head, write_head
from tests.limits import PLAUSIBLE
from tests.programs import python

IMAGE, _ = simulate_head(0)


def broken(value: float) -> np.ndarray:
    image = IMAGE.astype(np.float32)
    image[20, 20, 5] = value
    return image


def few_voxels() -> np.ndarray:
    image = np.zeros_like(IMAGE)
    image[10:15, 10:15, 5] = 100
    return image


# name of the file: what is in it, and what the sentence says
VOLUMES = {
    "two_dimensional": (IMAGE[:, :, 6], "not one 3D volume"),
    "four_dimensional": (np.stack([IMAGE] * 3, axis=-1), "not one 3D volume"),
    "empty": (np.zeros_like(IMAGE), "is empty"),
    "constant": (np.full_like(IMAGE, 7), "is empty"),
    "not_a_number": (broken(np.nan), "NaN or infinite"),
    "infinite": (broken(np.inf), "NaN or infinite"),
    "few_voxels": (few_voxels(), "voxels of brain"),
    "negative": (-IMAGE, "voxels of brain"),
    "a_mask_itself": ((IMAGE > 0).astype(np.uint8), "seems to be a mask"),
    "standardised": (np.where(IMAGE > 0, (IMAGE - 100) / 20.0, 0.0).astype(np.float32), "z-scores"),
}


def sentence(transforms: list, data: dict) -> str:
    with pytest.raises(InputError) as caught:
        for transform in transforms:
            data = transform(data)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and text.count(";") >= 1, text
    return text


def load(data: dict) -> str:
    return sentence(
        [
            LoadVolumed(keys=["image", "label"], allow_missing_keys=True),
            BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never"),
        ],
        data,
    )


@pytest.mark.parametrize("name", VOLUMES)
def test_unusable_volumes(name, tmp_path):
    volume, said = VOLUMES[name]
    path = save(volume, tmp_path / f"{name}.nii.gz")
    text = load({"image": path})
    assert path in text and said in text


def test_missing_and_foreign_files(tmp_path):
    missing = str(tmp_path / "missing.nii.gz")
    assert load({"image": missing}).startswith(f"{missing}: no such file")
    for name in ("text.nii.gz", "text.nii", "notes.txt"):
        (tmp_path / name).write_text("not an image")
        assert "cannot be read as an image" in load({"image": str(tmp_path / name)})
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(Path(save(IMAGE, tmp_path / "whole.nii.gz")).read_bytes()[:5000])
    assert "cannot be read as an image" in load({"image": str(cut)})


@pytest.mark.parametrize("affine", [np.diag([0, 0, 0, 1.0]), np.diag([1.0, 0, 1, 1]), np.diag([np.nan, 1, 1, 1])])
def test_affines_without_a_position(affine, tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape(IMAGE.shape)
    header.set_data_dtype(np.int16)
    header["sform_code"] = 1
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = affine[row]
    path = tmp_path / "singular.nii"
    with path.open("wb") as file:
        header.write_to(file)
        file.write(b"\0" * 4)
        file.write(IMAGE.tobytes(order="F"))
    text = load({"image": str(path)})
    assert str(path) in text and "affine" in text


def test_labels_and_masks_that_do_not_fit(tmp_path):
    image = save(IMAGE, tmp_path / "image.nii.gz")
    other_shape = save((IMAGE[:-1] > 100).astype(np.uint8), tmp_path / "other_shape.nii.gz")
    mirrored = AFFINE.copy()
    mirrored[0] *= -1
    elsewhere = save((IMAGE > 100).astype(np.uint8), tmp_path / "elsewhere.nii.gz", mirrored)
    assert "shape of the label" in load({"image": image, "label": other_shape})
    assert "lies elsewhere" in load({"image": image, "label": elsewhere})
    assert "shape of the brain mask" in load({"image": image, "brain_mask": other_shape})
    assert "no such file" in load({"image": image, "brain_mask": str(tmp_path / "none.nii.gz")})
    nothing = save(np.zeros(IMAGE.shape, np.uint8), tmp_path / "nothing.nii.gz")
    assert "voxels of brain" in load({"image": image, "brain_mask": nothing})


def test_a_standardised_head_with_its_brain_mask(tmp_path):
    image = save(((IMAGE - 100) / 20.0).astype(np.float32), tmp_path / "image.nii.gz")
    mask = save((IMAGE > 0).astype(np.uint8), tmp_path / "mask.nii.gz")
    assert "z-scores" in load({"image": image, "brain_mask": mask})


def test_ringing_around_a_brain_does_no_harm(tmp_path):
    turned = ndimage.rotate(IMAGE.astype(np.float32), 5, axes=(0, 1), reshape=False, order=3)
    assert (turned < 0).sum() > 0.05 * (turned > 0).sum()
    image = save(turned, tmp_path / "turned.nii.gz")
    assert BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(LoadVolumed(keys="image")({"image": image}))[
        "brain_mask"
    ].any()


def test_a_background_below_zero_does_no_harm(tmp_path):
    image = save(np.where(IMAGE > 0, IMAGE, -1000), tmp_path / "image.nii.gz")
    data = BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(LoadVolumed(keys="image")({"image": image}))
    assert np.array_equal(data["brain_mask"][0], IMAGE > 0)


def test_a_brain_larger_than_the_field_of_view(tmp_path):
    affine = AFFINE @ np.diag([3, 3, 3, 1])
    path = save(IMAGE, tmp_path / "large.nii.gz", affine)
    mask = save((IMAGE > 0).astype(np.uint8), tmp_path / "mask.nii.gz", affine)
    text = sentence(
        [
            LoadVolumed(keys="image"),
            BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never"),
            FieldOfViewd(keys=["image", "brain_mask"], millimetres=240),
        ],
        {"image": path, "brain_mask": mask},
    )
    assert "field of view" in text


def test_the_other_volumes_of_a_run_are_done(trained, tmp_path):
    """One command over good and bad volumes: good ones are finished, bad ones listed at the end, exit code not 0."""
    scans = tmp_path / "scans"
    for name, (volume, _) in VOLUMES.items():
        save(volume, scans / f"{name}.nii.gz")
    for i in range(2):
        write_head(scans, f"good_{i}", i)
    (scans / "text.nii.gz").write_text("not an image")
    output = tmp_path / "out"
    paths = {"image": str(scans), "output_dir": str(output), "ckpt_path": str(trained / "model.pt")}
    finished = python(*command("inference", ["inference"], **paths))
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    end = finished.stderr[finished.stderr.index("Error: 11 of 13 volumes failed") :].splitlines()
    assert len(end) == 1 + len(VOLUMES) + 1
    assert all(any(name in line for line in end) for name in [*VOLUMES, "text.nii.gz"])
    written = sorted(path.name for path in output.iterdir())
    assert written == ["good_0_flair", "good_1_flair", "report.html", "volumes.csv"]
    assert all((output / f"good_{i}_flair" / f"good_{i}_flair_statistics.json").exists() for i in range(2))
    report = (output / "report.html").read_text()
    assert report.count("Not processed:") == 11


def fault_of(kind: str, files: list[str], **overrides) -> str:
    with pytest.raises(Exception) as caught:
        run(kind, files, **overrides)
    fault = input_error(caught.value)
    assert fault is not None, caught.value
    return str(fault)


def test_checkpoints(trained, tmp_path):
    scan = write_head(tmp_path, "scan", 0)["image"]
    output = tmp_path / "out"

    def said(path: Path) -> str:
        return fault_of("infer", ["inference"], image=scan, output_dir=str(output), ckpt_path=str(path))

    assert "no such file" in said(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    assert "not a checkpoint of this network" in said(tmp_path / "text.pt")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pt")
    assert "not a checkpoint of this network" in said(tmp_path / "foreign.pt")
    model = torch.load(trained / "model.pt", weights_only=True)
    torch.save({**model, "threshold": torch.tensor(float("nan"))}, tmp_path / "bare.pt")
    assert "has no threshold" in said(tmp_path / "bare.pt")
    layer = next(name for name, value in model.items() if name.startswith("refiner.") and value.is_floating_point())
    torch.save({**model, layer: torch.full_like(model[layer], torch.nan)}, tmp_path / "diverged.pt")
    assert "NaN or infinite" in said(tmp_path / "diverged.pt")
    assert "--channels" in fault_of(
        "infer", ["inference"], image=scan, output_dir=str(output), ckpt_path=str(trained / "model.pt"), channels=8
    )
    assert not list(output.glob("*/*"))


def test_unknown_contrast(trained, tmp_path):
    scan = write_head(tmp_path, "scan", 0)["image"]
    paths = {"output_dir": str(tmp_path / "out"), "ckpt_path": str(trained / "model.pt")}
    assert "no such contrast" in fault_of("infer", ["inference"], image=scan, contrast="brigth", **paths)


def test_an_evaluation_of_nothing_usable(trained, cohort, tmp_path):
    entry = {"image": save(np.zeros_like(IMAGE), tmp_path / "empty.nii.gz")}
    splits = json.loads((cohort / "datalist.json").read_text())
    splits["test"] = [{**entry, "label": entry["image"]}]
    (tmp_path / "list.json").write_text(json.dumps(splits))
    said = fault_of(
        "infer",
        ["inference", "evaluate"],
        datalist=str(tmp_path / "list.json"),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(trained / "model.pt"),
    )
    assert "1 of 1 volumes failed" in said and entry["image"] in said


def test_a_judge_that_cannot_be_calibrated_is_not_written(cohort, judged, tmp_path):
    splits = json.loads((cohort / "datalist.json").read_text())
    brain = save((IMAGE > 0).astype(np.uint8), tmp_path / "brain.nii.gz")
    splits["validation"] = [{**splits["validation"][0], "label": brain}]
    (tmp_path / "list.json").write_text(json.dumps(splits))
    said = fault_of(
        "infer",
        ["inference", "calibrate_judge"],
        datalist=str(tmp_path / "list.json"),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(judged / "model.pt"),
        **JUDGED,
    )
    assert "No lesion-free slice" in said and not (tmp_path / "out" / "model.pt").exists()


def test_output_folder_that_cannot_be_written(trained, cohort, tmp_path):
    scan = write_head(tmp_path, "scan", 0)["image"]
    (tmp_path / "file").write_text("in the way")
    output = str(tmp_path / "file" / "out")
    assert "cannot be written" in fault_of(
        "infer", ["inference"], image=scan, output_dir=output, ckpt_path=str(trained / "model.pt")
    )
    assert "cannot be written" in fault_of(
        "train", ["train"], dataset_dir=str(cohort), output_dir=output, epochs=1, steps_per_epoch=1
    )


@pytest.mark.parametrize("air", [0, 3])
def test_a_skull_that_is_still_on_is_said_loudly(air, trained, tmp_path, capsys):
    """Also where the air around the head is not zero, so that "brain" fills more than the field of view."""
    image = np.pad(np.where(IMAGE > 0, IMAGE, air), 12, constant_values=air)
    path = save(image, tmp_path / "head.nii.gz", AFFINE @ np.diag([1.4, 1.3, 2.0, 1]))
    paths = {"output_dir": str(tmp_path / "out"), "ckpt_path": str(trained / "model.pt")}
    run("infer", ["inference"], image=path, skull_strip="never", **paths)
    statistics = json.loads((tmp_path / "out" / "head" / "head_statistics.json").read_text())
    assert statistics["warnings"][0].startswith("THE SKULL SEEMS TO BE STILL ON")
    assert f"{path}: THE SKULL SEEMS TO BE STILL ON" in capsys.readouterr().err
    assert "THE SKULL SEEMS TO BE STILL ON" in (tmp_path / "out" / "report.html").read_text()
    assert nib.load(tmp_path / "out" / "head" / "head_mask.nii.gz").shape == image.shape


def test_training_names_every_unusable_volume(cohort, tmp_path):
    splits = json.loads((cohort / "datalist.json").read_text())
    bad = [save(VOLUMES[name][0], tmp_path / f"{name}.nii.gz") for name in ("empty", "not_a_number")]
    splits["training"] += [{"image": path} for path in bad]
    (tmp_path / "list.json").write_text(json.dumps(splits))
    said = fault_of("train", ["train"], datalist=str(tmp_path / "list.json"), output_dir=str(tmp_path / "out"))
    assert said.startswith("2 of 5 volumes cannot be used") and all(path in said for path in bad)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ('{"test": [{"image": null}]}', "entry 1"),
        ('{"test": [{"image": "x.nii"}, {"image": ["x.nii", "y.nii"]}]}', "entry 2"),
        ('{"test": [{"image": "x.nii", "label": NaN}]}', "NaN as label"),
        ('{"test": [{"image": 5}]}', "5 as image"),
        ('{"test": ["x.nii"]}', "is no object"),
        ('{"test": {"image": "x.nii"}}', 'split "test"'),
        ('["x.nii"]', 'split "test"'),
        ("{}", 'split "test"'),
        ('{"test": [{"label": "x"}]}', "has no image"),
    ],
)
def test_datalists(content, said, trained, tmp_path):
    (tmp_path / "list.json").write_text(content)
    paths = {"datalist": tmp_path / "list.json", "output_dir": tmp_path / "out", "ckpt_path": trained / "model.pt"}
    assert said in fault_of("infer", ["inference"], **{name: str(path) for name, path in paths.items()})


def test_a_state_that_cannot_be_resumed(cohort, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state.pt").write_text("damaged")
    said = fault_of("train", ["train"], dataset_dir=str(cohort), output_dir=str(tmp_path), epochs=1, steps_per_epoch=1)
    assert "cannot go on from that state" in said
