"""The command-line tools that have no test of their own with the part of the bundle that they use."""

import json
import os
import shutil
import subprocess

import pytest
import torch

from bundle.cli.main import main
from bundle.data.joining import merge_datalists
from bundle.errors import InputError
from bundle.evaluation import compare_evaluations
from bundle.evaluation.draw_results import draw_results
from bundle.model.publishing import publish
from bundle.training.pseudo_labels import add_pseudo_labels
from tests.evaluation.simulated_cases import NUMBERS
from tests.programs import python


def test_publishing_halves_the_weights_and_nothing_else(trained, tmp_path, capsys):
    target = tmp_path / "models" / "model.pt"
    assert main(["publish", str(trained / "model.pt"), "--target", str(target)]) == 0
    assert "parameters" in capsys.readouterr().out
    before, after = (torch.load(path, weights_only=True) for path in (trained / "model.pt", target))
    assert set(before) == set(after)
    for name, value in after.items():
        exact = name.endswith(("running_mean", "running_var", "num_batches_tracked", "threshold", "_extra_state"))
        assert value.dtype == (before[name].dtype if exact else torch.float16)
        tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-3, "atol": 1e-6}
        assert torch.allclose(value.float(), before[name].float(), **tolerance, equal_nan=True)


def test_only_calibrated_and_finite_models_are_published(trained, tmp_path):
    target = tmp_path / "out.pt"
    target.write_text("of an earlier call")
    state = torch.load(trained / "model.pt", weights_only=True)
    weight = next(name for name in state if name.endswith("weight"))
    for change, said in (
        ({"threshold": torch.tensor(float("nan"))}, "has no threshold"),
        ({"threshold": torch.tensor(float("inf"))}, "has no threshold"),
        ({"threshold": torch.tensor(-1.0)}, "has no threshold"),
        ({weight: torch.full_like(state[weight], float("nan"))}, "not finite"),
        # finite, but not in half precision
        ({weight: torch.full_like(state[weight], 1e6)}, "not finite"),
        ({"judge.x": torch.zeros(1), "lesion_threshold": torch.tensor(float("nan"))}, "has no threshold"),
    ):
        torch.save({**state, **change}, tmp_path / "bad.pt")
        with pytest.raises(InputError, match=said):
            publish(str(tmp_path / "bad.pt"), str(target))
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match="not a checkpoint"):
        publish(str(tmp_path / "text.pt"), str(target))
    assert target.read_text() == "of an earlier call"


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("prepare_dataset", "prepare"),
        ("make_phantom", "phantom"),
        ("compare", "compare"),
        ("merge_datalists", "merge"),
        ("add_pseudo_labels", "pseudo-labels"),
        ("publish_model", "publish"),
        ("convert_reference_checkpoint", "convert"),
    ],
)
def test_the_earlier_names_of_subcommands_still_work(script, arguments):
    done = python("-m", f"scripts.{script}", "--help")
    assert done.returncode == 0 and f"itermask2 {arguments} " in done.stdout, done.stderr


def test_a_task_of_a_slurm_array_does_its_share(tmp_path):
    said = tmp_path / "itermask2"
    said.write_text('#!/bin/sh\nprintf "%s|" "$OMP_NUM_THREADS" "$@"\n')
    said.chmod(0o755)
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "2", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    call = ["scripts/slurm_array.sh", "/my scans", "out", "--modality", "t1"]
    done = subprocess.run(call, env=slurm, capture_output=True, text=True)
    assert done.stdout == "2|segment|/my scans|-o|out|--shard|3/100|--progress|false|--modality|t1|", done.stderr


def test_pseudo_labels_join_the_training(cohort, judged_results, tmp_path):
    results = shutil.copytree(judged_results, tmp_path / "results")
    target = tmp_path / "with_pseudo.json"
    patients = json.loads((cohort / "datalist.json").read_text())["test"]
    absolute = [{"image": str((cohort / entry["image"]).resolve())} for entry in patients]
    splits = {"training": [*absolute, *absolute[:1]], "validation": absolute, "test": absolute}
    (tmp_path / "list.json").write_text(json.dumps(splits))
    assert "3 scans" in add_pseudo_labels(str(tmp_path / "list.json"), str(results), str(target))
    written = json.loads(target.read_text())
    assert [entry["image"] for entry in written["test"]] == [entry["image"] for entry in absolute]
    added = written["training"][3:]
    assert [set(entry) for entry in added] == [{"image", "pseudo_label"}] * 3
    assert added[0]["pseudo_label"].endswith("patient_0_flair_mask.nii.gz")
    written = json.loads(target.read_text())
    for mask in results.glob("patient_0*/*_mask.nii.gz"):
        mask.rename(mask.with_suffix(".away"))
        with pytest.raises(InputError, match="the mask is missing"):
            add_pseudo_labels(str(tmp_path / "list.json"), str(results), str(target))
        mask.with_suffix(".away").rename(mask)
    assert json.loads(target.read_text()) == written
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="run inference on them first"):
        add_pseudo_labels(str(tmp_path / "list.json"), str(tmp_path / "empty"), str(target))


def test_comparison_and_figures_of_an_evaluation(trained, judged_results, tmp_path):
    folder = str(judged_results)
    table = compare_evaluations(folder, NUMBERS, published_test=folder, output=str(tmp_path / "tables"))
    for row in ("plain: equalised", "published IterMask2: final mask", "judged: mask as delivered", "no labels"):
        assert row in table
    with pytest.raises(InputError, match=r"no cases\.csv"):
        compare_evaluations(folder, NUMBERS, str(tmp_path))
    with pytest.raises(InputError, match="2 of its scans are also in"):
        compare_evaluations(folder, NUMBERS, folder)
    draw_results(folder, folder, folder, [str(trained)], 99.0, 2, 3, output=str(tmp_path / "figures"))
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"agreement.png", "calibration.png", "examples.png", "training.png"}


def test_datalists_are_merged(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.json").write_text(json.dumps({"training": [{"image": "x.nii", "age": 3}], "test": []}))
    (tmp_path / "two.json").write_text(json.dumps({"training": [{"image": "/y.nii", "label": "l.nii"}]}))
    said = merge_datalists(str(tmp_path / "all.json"), [str(tmp_path / "a" / "one.json"), str(tmp_path / "two.json")])
    assert "2 training" in said
    merged = json.loads((tmp_path / "all.json").read_text())
    first = {"image": str(tmp_path / "a" / "x.nii"), "age": 3}
    assert merged == {"training": [first, {"image": "/y.nii", "label": str(tmp_path / "l.nii")}], "test": []}
    (tmp_path / "list.json").write_text("[]")
    for other, said in (("missing.json", "no such file"), ("list.json", "not a datalist")):
        with pytest.raises(InputError, match=said):
            merge_datalists(str(tmp_path / "all.json"), [str(tmp_path / "two.json"), str(tmp_path / other)])
    # beside the link, not beside what it leads to
    (tmp_path / "link.json").symlink_to(tmp_path / "a" / "one.json")
    merge_datalists(str(tmp_path / "linked.json"), [str(tmp_path / "two.json"), str(tmp_path / "link.json")])
    linked = json.loads((tmp_path / "linked.json").read_text())
    assert linked["training"][1]["image"] == str(tmp_path / "x.nii")
    with pytest.raises(InputError, match="first the datalist to write"):
        merge_datalists(str(tmp_path / "two.json"), [str(tmp_path / "all.json")])
    assert json.loads((tmp_path / "two.json").read_text())["training"] == [{"image": "/y.nii", "label": "l.nii"}]
    with pytest.raises(InputError, match="one of the datalists to merge"):
        merge_datalists(str(tmp_path / "two.json"), [str(tmp_path / "all.json"), f"{tmp_path}/a/../two.json"])
    (tmp_path / "three.json").write_text(json.dumps({"test": [{"image": "/y.nii"}]}))
    with pytest.raises(InputError, match=r'/y\.nii: in the split "training" and in the split "test"'):
        merge_datalists(str(tmp_path / "new.json"), [str(tmp_path / "two.json"), str(tmp_path / "three.json")])
    (tmp_path / "again.json").write_text((tmp_path / "two.json").read_text())
    with pytest.raises(InputError, match=r'/y\.nii: twice in the split "training"'):
        merge_datalists(str(tmp_path / "new.json"), [str(tmp_path / "two.json"), str(tmp_path / "again.json")])
    (tmp_path / "again.json").write_text(json.dumps({"training": [{"image": "/y.nii", "pseudo_label": "/p.nii"}]}))
    merge_datalists(str(tmp_path / "pseudo.json"), [str(tmp_path / "two.json"), str(tmp_path / "again.json")])
    (tmp_path / "again.json").write_text(json.dumps({"training": [{"image": 5}]}))
    with pytest.raises(InputError, match=r'again\.json: split "training", entry 1: .*which is no path'):
        merge_datalists(str(tmp_path / "new.json"), [str(tmp_path / "two.json"), str(tmp_path / "again.json")])
    assert not (tmp_path / "new.json").exists()
