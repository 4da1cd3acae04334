import csv
import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.engines import IterationEvents

from bundle.cases import RunFolder
from bundle.evaluation import MaskScoresd, ReconstructionScoresd, ScoreTables, read_scores


def scored(name: str, seed: int, disease: str = "") -> tuple[dict, dict]:
    """A case whose error map and intensity both show its lesion, with a mask that misses a part of it."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((1, 20, 20, 4), -3.0)
    image[:, 2:18, 2:18] = 0.3 * torch.randn(1, 16, 16, 4, generator=generator).clamp(-3, 3)
    lesion = torch.zeros_like(image)
    lesion[0, 5:11, 5 : 9 + seed, 1:3] = 1
    image += 4 * lesion
    mask = lesion.clone()
    mask[..., 2] = 0
    mask[0, 15, 15, 0] = 1
    affine = torch.diag(torch.tensor([20.0, 20, 5, 1]))
    data = {"image": image, "error": (image * (image > -3)) ** 2, "reconstruction": image * 0.9, "lesion": lesion}
    data = ReconstructionScoresd(keys="image", smallest_brain=0.15)(data)
    data |= {"pred": mask, "label": MetaTensor(lesion, affine=affine)}
    data = MaskScoresd(keys="pred", pixel_mm=1.875, found_share=0.1)(data)
    refinement = {"iterations": 3, "cap_reached": False, "seconds": 1.25}
    data["statistics"] = {"number_of_components": 1, "refinement": refinement}
    return {"case": name, **({"disease": disease} if disease else {})}, data


@pytest.fixture
def tables(tmp_path, golden_model):
    cases = [scored("NA", 1, "ms"), scored("a", 0)]
    engine = Engine(lambda e, i: e.fire_event(IterationEvents.MODEL_COMPLETED))
    engine.register_events(*IterationEvents)

    def give(e):
        batch, output = cases[e.state.iteration - 1]
        e.state.batch, e.state.output = [batch], [output]

    (tmp_path / "weights.pt").write_text("of a model")
    run_folder = RunFolder(str(tmp_path), str(tmp_path / "weights.pt"))
    for batch, output in cases:
        scan = tmp_path / f"{batch['case']}.nii"
        scan.write_text("voxels")
        run_folder.claim([{**batch, "image": str(scan)}])
        statistics = {**output["statistics"], "made_from": run_folder.made_from(batch["case"])}
        run_folder.case(batch["case"]).write_results([], statistics, {})
    handler = ScoreTables(run_folder, golden_model, None, {})
    engine.add_event_handler(IterationEvents.MODEL_COMPLETED, give)
    handler.attach(engine)
    engine.run([0, 1])
    return tmp_path, dict(zip(("NA", "a"), (output for _, output in cases)))


def test_cases_and_slices(tables, golden_model):
    folder, outputs = tables
    rows = list(csv.DictReader((folder / "cases.csv").open()))
    assert [row["case"] for row in rows] == ["NA", "a"]
    for row in rows:
        assert float(row["dice"]) == pytest.approx(outputs[row["case"]]["scores"]["dice"], abs=1e-4)
        assert row["cap_reached"] == "False" and float(row["seconds"]) == 1.25
        slices = list(csv.DictReader((folder / row["case"] / f"{row['case']}_slices.csv").open()))
        assert [int(s["slice"]) for s in slices] == [0, 1, 2, 3]
        assert float(slices[1]["dice"]) == 1 and float(slices[2]["dice"]) == 0 and slices[3]["sensitivity"] == "nan"


def test_summary_keeps_label_free_and_label_chosen_apart(tables, golden_model):
    folder, outputs = tables
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary)[:4] == ["notice", "number_of_cases", "label_free", "threshold_chosen_with_test_labels"]
    free = summary["label_free"]
    dice = [outputs[name]["scores"]["dice"] for name in ("NA", "a")]
    assert free["volume"]["dice"] == {
        "mean": pytest.approx(np.mean(dice), abs=1e-4),
        "median": pytest.approx(np.median(dice), abs=1e-4),
        "number": 2,
    }
    assert free["threshold"] == pytest.approx(float(golden_model.threshold))
    # one slice of each lesion is found whole, and it is the first of the two largest
    assert free["largest_slice"]["dice"]["mean"] == 1
    # 24 and 30 voxels of 20 x 20 mm, in pixels of 1.875 mm: large ones
    assert free["largest_slice"]["dice_by_size"]["large"]["number"] == 2
    # each lesion is found, of 48 and 60 voxels of 2 ml, and beside it one voxel is marked that is none
    none = {"lesions": 0, "found": None}
    assert free["lesions_one_by_one"] == {
        "lesions": 2,
        "found": 1.0,
        "by_size": {"under_0.1_ml": none, "0.1_to_1_ml": none, "1_ml_and_more": {"lesions": 2, "found": 1.0}},
        "components": 4,
        "right": 0.5,
    }
    # 23 and 29 of the voxels are missed, of 2 ml each
    assert free["mask_less_lesion_ml"]["bias"] == pytest.approx(-52)
    assert free["mask_less_lesion_ml"]["upper"] == pytest.approx(-52 + 1.96 * np.std([-46, -58], ddof=1), abs=0.01)
    # the far voxel is one of few on the surface of the mask, 20 mm beside the last of the lesion's columns
    assert free["outline"]["hausdorff_95_mm"]["number"] == 2
    assert 0 < free["outline"]["surface_distance_mm"]["mean"] < free["outline"]["hausdorff_95_mm"]["mean"]
    chosen = summary["threshold_chosen_with_test_labels"]
    assert chosen["plain_intensity"]["volume"]["dice"]["mean"] > 0.95
    assert chosen["error_map"]["volume"]["dice"]["number"] == 2


def test_scores_are_read_as_they_were_written(tables):
    folder, outputs = tables
    rows = read_scores(folder)
    assert rows["case"].tolist() == ["NA", "a"] and rows["disease"].tolist() == ["ms", ""]
    assert rows["dice"].tolist() == pytest.approx([outputs[name]["scores"]["dice"] for name in ("NA", "a")], abs=1e-4)


def test_each_disease_has_means_of_its_own(tables):
    folder, outputs = tables
    diseases = json.loads((folder / "summary.json").read_text())["label_free"]["volume_by_disease"]
    assert list(diseases) == ["ms"] and diseases["ms"]["number_of_cases"] == 1
    assert diseases["ms"]["dice"]["mean"] == pytest.approx(outputs["NA"]["scores"]["dice"], abs=1e-4)


def test_scores_of_another_run_do_not_count(tmp_path, golden_model):
    """An evaluation with other weights into the same folder, in which this case now fails."""
    for name in ("weights.pt", "a.nii"):
        (tmp_path / name).write_text("content")
    run_folder = RunFolder(str(tmp_path), str(tmp_path / "weights.pt"))
    run_folder.claim([{"case": "a", "image": str(tmp_path / "a.nii")}])
    case, tables = run_folder.case("a"), ScoreTables(run_folder, golden_model, None, {})
    for run, number in (("of other weights", 0), (run_folder.made_by, 1)):
        case.write_results([], {"made_from": {**run_folder.made_from("a"), "run": run}}, {})
        case.write("scores", "{}")
        assert len(tables.read()) == number
