"""The workflows from end to end, through MONAI's ``ConfigWorkflow``, on tiny simulated heads."""

import csv
import json
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

import bundle
from bundle.cases import CaseFolder
from bundle.model import read_card
from tests.data.test_volumes import write_dicom
from tests.flows import JUDGED, command, options, run, workflow
from tests.heads import AFFINE, save, simulate_head, write_head
from tests.programs import Program, python, ranks

# what is said of the simulated heads of the tests, whose brains are small
SMALL_BRAIN = (
    "The brain has 761 ml, those of adults have 900 to 2000: the scan shows a part of it, or the brain mask or the "
    "voxel size is wrong."
)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal, where a threshold that is not calibrated yet is equal to another one."""
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def test_training_gives_a_calibrated_model_and_curves(trained):
    model = torch.load(trained / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in model.values())
    assert {name.split(".")[0] for name in model} == {
        *("initial", "refiner", "threshold", "lesion_threshold", "_extra_state")
    }
    assert read_card(model)["modality"] == "flair" and read_card(model)["image_size"] == 32
    assert torch.isfinite(model["threshold"]) and model["threshold"] > 0
    assert list((trained / "tensorboard").glob("events*"))
    state = torch.load(trained / "checkpoints" / "state.pt", weights_only=True)
    assert state["epoch"] == 3 and state["iteration"] == 30
    assert {"model", "ema", "optimizer", "lr_scheduler"} <= set(state)
    assert not torch.equal(state["model"]["refiner.out.2.weight"], model["refiner.out.2.weight"]), (
        "EMA weights are kept"
    )


def test_killed_training_goes_on_where_it_was(cohort, tmp_path):
    """Killed in the middle of the second epoch and started again, a run ends with the weights of an unbroken one."""
    settings = {"dataset_dir": str(cohort), "epochs": 4, "steps_per_epoch": 6, "val_interval": 2}
    run("train", ["train"], **settings, output_dir=str(tmp_path / "unbroken"))

    training = command("training", ["train"], **settings, output_dir=str(tmp_path / "killed"))
    state = tmp_path / "killed" / "checkpoints" / "state.pt"
    program = Program(*training)
    while not state.exists():
        assert program.is_running() and time.sleep(0.01) is None
    program.kill()
    saved = torch.load(state, weights_only=True)
    assert saved["epoch"] < 4
    finished = python(*training)
    assert finished.returncode == 0, finished.stderr

    unbroken, resumed = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("unbroken", "killed"))
    assert all(same(unbroken[name], resumed[name]) for name in unbroken)


def test_training_goes_on_from_given_weights(cohort, trained, tmp_path):
    """Without a learning rate the weights stay what they were, averaged ones included."""
    run(
        "train",
        ["train"],
        dataset_dir=str(cohort),
        output_dir=str(tmp_path),
        pretrained=str(trained / "model.pt"),
        learning_rate=0.0,
        epochs=1,
        steps_per_epoch=2,
        val_interval=10,
    )
    before, after = (torch.load(folder / "model.pt", weights_only=True) for folder in (trained, tmp_path))
    weights = [name for name in before if name.endswith(("weight", "bias"))]
    assert len(weights) > 20 and all(torch.allclose(before[name], after[name], atol=1e-6) for name in weights)


def test_networks_of_a_judged_model_are_trained_further(cohort, judged, tmp_path):
    settings = {"dataset_dir": str(cohort), "output_dir": str(tmp_path), "epochs": 1, "steps_per_epoch": 1}
    run("train", ["train"], **settings, val_interval=1, learning_rate=0.0, pretrained=str(judged / "model.pt"))
    before, after = (torch.load(folder / "model.pt", weights_only=True) for folder in (judged, tmp_path))
    assert not any(name.startswith("judge.") for name in after)
    weights = [name for name in after if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in weights)


def test_a_judge_is_trained_beside_networks_that_stay(cohort, trained, judged):
    before, after = (torch.load(folder / "model.pt", weights_only=True) for folder in (trained, judged))
    kept = [name for name in before if name != "lesion_threshold"]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in kept)
    judge = {name for name in after if name.startswith("judge.")}
    assert judge and set(after) == set(before) | judge


def test_training_from_a_folder_without_a_datalist(cohort, tmp_path):
    healthy = tmp_path / "scans"
    for i in range(3):
        shutil.copytree(cohort / f"healthy_{i}", healthy / f"healthy_{i}")
    flow = run(
        "train",
        ["train"],
        dataset_dir=str(healthy),
        output_dir=str(tmp_path / "out"),
        epochs=1,
        steps_per_epoch=1,
        val_interval=1,
    )
    data = [flow.parser.get_parsed_content(f"{part}#dataset#data") for part in ("train", "validate")]
    assert [len(part) for part in data] == [2, 1]
    assert not {entry["image"] for entry in data[0]} & {entry["image"] for entry in data[1]}


def test_calibration_moves_the_threshold_and_nothing_else(cohort, trained, tmp_path):
    before = torch.load(trained / "model.pt", weights_only=True)
    bare = tmp_path / "bare.pt"
    torch.save({**before, "threshold": torch.tensor(float("nan"))}, bare)
    run(
        "train",
        ["train", "calibrate"],
        dataset_dir=str(cohort),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(bare),
        threshold_percentile=99,
    )
    after = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert after["threshold"] > before["threshold"]
    assert all(same(before[name], after[name]) for name in before if name != "threshold")
    assert (tmp_path / "out" / "threshold.png").stat().st_size > 5000


def test_inference_writes_everything_on_the_grid_of_the_scan(trained, tmp_path):
    entry = write_head(tmp_path / "scans", "patient", 3, lesion=True)
    run(
        "infer",
        ["inference"],
        image=entry["image"],
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(trained / "model.pt"),
    )
    folder = tmp_path / "out" / "patient_flair"
    scan = nib.load(entry["image"])
    for name, dtype in (
        ("mask", np.uint8),
        ("error", np.float32),
        ("reconstruction", np.float32),
        ("iterations", np.uint8),
    ):
        result = nib.load(folder / f"patient_flair_{name}.nii.gz")
        assert result.shape == scan.shape and result.get_data_dtype() == dtype
        assert np.allclose(result.affine, scan.affine)
    statistics = json.loads((folder / "patient_flair_statistics.json").read_text())
    mask = np.asarray(nib.load(folder / "patient_flair_mask.nii.gz").dataobj)
    assert set(np.unique(mask)) <= {0, 1}
    assert statistics["lesion_ml"] == pytest.approx(mask.sum() * 3 * 3 * 6 / 1000, abs=1e-3)
    refinement = statistics["refinement"]
    assert refinement["threshold"] == pytest.approx(float(torch.load(trained / "model.pt")["threshold"]))
    assert len(refinement["mask_ml_by_iteration"]) == refinement["iterations"]
    assert refinement["mask_ml_by_iteration"] == sorted(refinement["mask_ml_by_iteration"], reverse=True)
    stations = statistics["stations"]
    assert {"LoadVolumed", "BrainMaskd", "inferer", "InvertLinearlyd"} <= set(stations)
    assert stations["inferer"]["seconds"] >= refinement["seconds"] and stations["inferer"]["processor_seconds"] > 0
    assert statistics["warnings"] == [SMALL_BRAIN] and statistics["versions"]["bundle"] == bundle.__version__
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Not a medical device" in report and "patient_flair" in report
    assert not list((tmp_path / "out").glob(".*"))


def test_inference_of_a_folder_with_brain_masks_from_a_datalist(trained, tmp_path):
    """A head with its skull on, and the brain mask that makes it usable."""
    entries = []
    for i in range(2):
        entry = write_head(tmp_path / f"subject_{i}", "scan", i)
        scan = nib.load(entry["image"])
        image = np.asarray(scan.dataobj)
        save((image > 0).astype(np.uint8), tmp_path / f"subject_{i}" / "brain.nii.gz")
        save(np.maximum(image, 7), Path(entry["image"]))
        entries.append({"image": f"subject_{i}/scan_flair.nii.gz", "brain_mask": f"subject_{i}/brain.nii.gz"})
    (tmp_path / "list.json").write_text(json.dumps({"test": entries}))
    run(
        "infer",
        ["inference"],
        datalist=str(tmp_path / "list.json"),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(trained / "model.pt"),
    )
    for i in range(2):
        given = tmp_path / f"subject_{i}" / "brain.nii.gz"
        case = tmp_path / "out" / f"subject_{i}_scan_flair"
        brain = np.asarray(nib.load(given).dataobj) > 0
        # interpolation back to the grid of the scan reaches as far as a pixel of the model, no further
        far = ~ndimage.binary_dilation(brain, ndimage.generate_binary_structure(3, 3), iterations=3)
        for name in ("mask", "error", "reconstruction"):
            assert not np.asarray(nib.load(case / f"{case.name}_{name}.nii.gz").dataobj)[far].any()
        statistics = json.loads((case / f"{case.name}_statistics.json").read_text())
        assert statistics["warnings"] == [SMALL_BRAIN] and statistics["brain_mask"] == str(given)
        # its pictures and tables count the given brain too
        case = CaseFolder(case)
        assert np.array_equal(case.brain(np.asarray(case.scan()[0]), case.found_brain()), brain)


def test_inference_of_a_dicom_series(trained, tmp_path):
    """The mask of a DICOM series is the mask of the same scan as NIfTI, at the same place in the world."""
    image, _ = simulate_head(3, lesion=True)
    write_dicom(image, AFFINE, tmp_path / "series")
    save(image, tmp_path / "scan.nii.gz")
    checkpoint = str(trained / "model.pt")
    for source in ("series", "scan.nii.gz"):
        run(
            "infer", ["inference"], image=str(tmp_path / source), output_dir=str(tmp_path / "out"), ckpt_path=checkpoint
        )
    masks = [nib.load(tmp_path / "out" / name / f"{name}_mask.nii.gz") for name in ("series", "scan")]
    assert np.array_equal(*(np.asarray(mask.dataobj) for mask in masks)) and np.asarray(masks[0].dataobj).any()
    assert np.allclose(masks[0].affine, masks[1].affine) and np.allclose(masks[0].affine, AFFINE)


def test_evaluation(cohort, trained, tmp_path):
    settings = {"dataset_dir": str(cohort), "ckpt_path": str(trained / "model.pt")}
    run("infer", ["inference", "evaluate"], **settings, output_dir=str(tmp_path / "again"))
    run("infer", ["inference", "evaluate"], **settings, output_dir=str(tmp_path), best_possible_step=0.1)
    cases, again = (list(csv.DictReader((folder / "cases.csv").open())) for folder in (tmp_path, tmp_path / "again"))
    # the search for the best possible mask leaves everything else as it is
    own = ("seconds", "largest_slice_best_possible_dice")
    assert [{k: v for k, v in case.items() if k not in own} for case in cases] == [
        {k: v for k, v in case.items() if k not in own} for case in again
    ]
    assert all(0 < float(case["largest_slice_best_possible_dice"]) <= 1 for case in cases)
    assert [case["case"] for case in cases] == ["patient_0_flair", "patient_1_flair"]
    # the scores are those of the files that were written, in the labels' own grid
    for i, case in enumerate(cases):
        mask = np.asarray(nib.load(tmp_path / case["case"] / f"{case['case']}_mask.nii.gz").dataobj) > 0
        label = np.asarray(nib.load(cohort / f"patient_{i}" / f"patient_{i}_seg.nii.gz").dataobj) > 0
        assert float(case["dice"]) == pytest.approx(2 * (mask & label).sum() / (mask.sum() + label.sum()), abs=1e-4)
        z = int(case["largest_slice"])
        found, lesion = mask[..., z], label[..., z]
        assert lesion.sum() == label.sum(axis=(0, 1)).max()
        assert float(case["largest_slice_sensitivity"]) == pytest.approx(
            (found & lesion).sum() / lesion.sum(), abs=1e-4
        )
        slices = list(csv.DictReader((tmp_path / case["case"] / f"{case['case']}_slices.csv").open()))
        assert len(slices) == label.shape[2]
    summary = json.loads((tmp_path / "summary.json").read_text())
    free, chosen = summary["label_free"], summary["threshold_chosen_with_test_labels"]
    assert free["volume"]["dice"]["mean"] == pytest.approx(np.mean([float(case["dice"]) for case in cases]), abs=1e-3)
    assert 0 < free["healthy_ssim"]["mean"] <= 1
    assert chosen["error_map"]["volume"]["dice"]["mean"] > 0
    # a bright lesion on a head without other bright spots: plain thresholding finds it when it may see the labels
    assert chosen["plain_intensity"]["volume"]["dice"]["mean"] > 0.8
    assert summary["best_possible_largest_slice_dice"]["number"] == 2


def test_judged_evaluation(judged_results):
    """What is delivered is what the judge marks; the course of the refinement is told beside it."""
    folder = judged_results / "patient_0_flair"
    statistics = json.loads((folder / "patient_0_flair_statistics.json").read_text())
    score = np.asarray(nib.load(folder / "patient_0_flair_score.nii.gz").dataobj)
    mask = np.asarray(nib.load(folder / "patient_0_flair_mask.nii.gz").dataobj) > 0
    threshold = statistics["refinement"]["volume_threshold"]
    assert 0 < statistics["refinement"]["lesion_threshold"] <= threshold < 4 and score.min() >= 0 and score.max() <= 4
    assert mask.any() and score[mask].mean() > score[~mask].mean()
    case = CaseFolder(folder)
    left, hidden = case.volume("hidden") > 0, case.volume("iterations")
    # what was hidden at the end was hidden in every iteration of its slice
    assert left.any() and all(
        (hidden[..., z][left[..., z]] == hidden[..., z].max()).all() for z in range(left.shape[2])
    )
    assert (judged_results / "cases.csv").is_file()
    assert "by how sharp edges are there" in (judged_results / "report.html").read_text()


def test_judged_inference(judged, cohort, judged_results, tmp_path):
    """A scan alone gets the mask that it has in an evaluation, and its last refinement mask from the same weights."""
    scan = str(cohort / "patient_0" / "patient_0_flair.nii.gz")
    masks = {"evaluated": judged_results / "patient_0_flair" / "patient_0_flair_mask.nii.gz"}
    for name, judge in (("judged", JUDGED), ("refined", {})):
        checkpoint = str(judged / "model.pt")
        run("infer", ["inference"], image=scan, output_dir=str(tmp_path / name), ckpt_path=checkpoint, **judge)
        masks[name] = tmp_path / name / "patient_0_flair" / "patient_0_flair_mask.nii.gz"
    evaluated, judged_mask, refined = (np.asarray(nib.load(path).dataobj) for path in masks.values())
    assert judged_mask.any() and np.array_equal(judged_mask, evaluated) and not np.array_equal(refined, evaluated)
    assert (tmp_path / "judged" / "patient_0_flair" / "patient_0_flair_score.nii.gz").exists()
    assert not (tmp_path / "refined" / "patient_0_flair" / "patient_0_flair_score.nii.gz").exists()


def test_calibration_of_the_judge_on_a_folder_moves_its_threshold_alone(cohort, judged, tmp_path):
    """A folder of healthy scans, without a datalist."""
    for folder in cohort.glob("h*"):
        (tmp_path / "healthy" / folder.name).parent.mkdir(exist_ok=True)
        (tmp_path / "healthy" / folder.name).symlink_to(folder)
    before = torch.load(judged / "model.pt", weights_only=True)
    run(
        "infer",
        ["inference", "calibrate_judge"],
        dataset_dir=str(tmp_path / "healthy"),
        output_dir=str(tmp_path / "output"),
        ckpt_path=str(judged / "model.pt"),
        **JUDGED,
        lesion_percentile=90.0,
    )
    after = torch.load(tmp_path / "output" / "model.pt", weights_only=True)
    assert after["lesion_threshold"] < before["lesion_threshold"]
    assert all(torch.equal(before[name], after[name]) for name in before if name != "lesion_threshold")


def test_a_judge_learns_from_pseudo_labels_too(cohort, judged, tmp_path):
    entries = json.loads((cohort / "datalist.json").read_text())
    absolute = {split: [{k: str(cohort / v) for k, v in e.items()} for e in entries[split]] for split in entries}
    patient = absolute["test"].pop(0)
    absolute["training"].append({"image": patient["image"], "pseudo_label": patient["label"]})
    (tmp_path / "list.json").write_text(json.dumps(absolute))
    flow = run(
        "train",
        ["train", "judge"],
        datalist=str(tmp_path / "list.json"),
        output_dir=str(tmp_path / "out"),
        pretrained=str(judged / "model.pt"),
        **JUDGED,
        epochs=1,
        steps_per_epoch=2,
        val_interval=1,
    )
    # it was calibrated before, and is not any more
    assert torch.load(tmp_path / "out" / "model.pt", weights_only=True)["lesion_threshold"].isnan()
    dataset = flow.parser.get_parsed_content("train#dataset")
    labelled = [item for item in dataset if item["pseudo_label"].any()]
    assert 0 < len(labelled) < len(dataset)
    _, label = flow.parser.get_parsed_content("train#prepare_batch")(
        {name: torch.stack([item[name] for item in labelled]) for name in ("image", "pseudo_label")}
    )
    assert (label.flatten(1).sum(dim=1) > 0).all()


def test_two_processes_train_one_model_and_evaluate_it(cohort, tmp_path):
    training = command(
        "training",
        ["train", "multi_gpu_train"],
        dataset_dir=str(cohort),
        output_dir=str(tmp_path / "model"),
        epochs=2,
        steps_per_epoch=3,
        val_interval=1,
    )
    trained = [rank.finish() for rank in ranks(*training)]
    for finished in trained:
        assert finished.returncode == 0, finished.stderr
    # one of them says where the model is
    assert [finished.stdout.count("Trained model: ") for finished in trained] == [1, 0]
    assert [path.name for path in (tmp_path / "model").glob("*.pt")] == ["model.pt"]
    assert torch.isfinite(torch.load(tmp_path / "model" / "model.pt", weights_only=True)["threshold"])

    evaluation = command(
        "evaluation",
        ["inference", "evaluate", "multi_gpu_evaluate"],
        dataset_dir=str(cohort),
        output_dir=str(tmp_path / "scores"),
        ckpt_path=str(tmp_path / "model" / "model.pt"),
    )
    for finished in [rank.finish() for rank in ranks(*evaluation)]:
        assert finished.returncode == 0, finished.stderr
    assert len(list(csv.DictReader((tmp_path / "scores" / "cases.csv").open()))) == 2
    assert "patient_0" in (tmp_path / "scores" / "report.html").read_text()


@pytest.mark.parametrize(
    "files",
    [
        ["train"],
        ["train", "judge"],
        ["train", "calibrate"],
        ["inference", "calibrate_judge"],
        ["inference", "evaluate"],
    ],
)
def test_properties_and_names_for_the_command_line(files, cohort):
    flow = workflow("train" if files[0] == "train" else "infer", files, dataset_dir=str(cohort), **JUDGED)
    flow.initialize()
    assert flow.check_properties() == []
    names = {"train": "training", "calibrate": "calibration", "evaluate": "evaluation"}
    names |= {"judge": "training", "calibrate_judge": "calibration"}
    assert flow.parser[names[files[-1]]] == flow.parser["run"]


def test_the_inferer_can_use_the_exported_model(trained, tmp_path):
    export = [
        *("-m", "monai.bundle", "ckpt_export", "network_def"),
        *("--filepath", str(tmp_path / "model.ts"), "--ckpt_file", str(trained / "model.pt")),
        *("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"),
        *options(),
    ]
    finished = python(*export)
    assert finished.returncode == 0, finished.stderr
    flow = workflow("infer", ["inference"], cpu_precision="float32")
    flow.initialize()
    inferer, network = flow.inferer, flow.network_def.eval()
    network.load_state_dict(torch.load(trained / "model.pt", weights_only=True))
    exported = torch.jit.load(tmp_path / "model.ts")
    volume = torch.full((1, 1, 32, 32, 3), -3.0)
    volume[:, :, 6:26, 6:26] = torch.randn(1, 1, 20, 20, 3)
    with torch.no_grad():
        here, there = inferer(volume, network), inferer(volume, exported)
    assert here["refinement"]["threshold"] == there["refinement"]["threshold"] and set(here) == set(there)
    assert all(torch.allclose(here[name], there[name], atol=1e-4) for name in here if name != "refinement")


def test_metadata_is_true(trained):
    metadata = json.loads(Path("configs/metadata.json").read_text())
    requirements = dict(line.split("==") for line in Path("requirements.txt").read_text().splitlines() if "==" in line)
    assert metadata["version"] == bundle.__version__ and metadata["version"] in metadata["changelog"]
    versions = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    assert {name: requirements[name] for name in versions} == versions
