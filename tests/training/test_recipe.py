"""Recipes with networks and heads small enough for seconds."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from bundle.errors import InputError
from bundle.model.card import read_card
from bundle.training.recipe import fingerprints, read_recipe, run_recipe
from bundle.training.recipe_steps import ROOT
from tests.flows import SMALL
from tests.heads import write_head
from tests.programs import python

TINY = {**{name: value for name, value in SMALL.items() if name != "judge#_disabled_"}, "validation_slices": 8}
SHORT = {"epochs": 1, "steps_per_epoch": 2, "val_interval": 1}
ROUNDS = [
    {"name": "networks", "step": "train", "data": "cohort.json", "config": ["tiny.json"], "keys": SHORT},
    {"name": "both", "step": "merge", "datalists": ["cohort.json", "more.json"]},
    {"name": "judge", "step": "judge", "data": "both", "from": "networks", "config": ["tiny.json"], "keys": SHORT},
    {"name": "calibrated", "step": "calibrate_judge", "data": "both", "from": "judge", "config": ["tiny.json"]},
    {"name": "masks", "step": "pseudo_label", "data": "both", "from": "calibrated", "config": ["tiny.json"]},
    {"name": "student", "step": "judge", "data": "masks", "from": "calibrated", "config": ["tiny.json"], "keys": SHORT},
    {
        "name": "final",
        "step": "calibrate_judge",
        "data": "both",
        "from": "student",
        "config": ["tiny.json"],
    },
    {
        "name": "scores",
        "step": "evaluate",
        "data": "cohort.json",
        "from": "final",
        "config": ["tiny.json"],
    },
    {"name": "weights", "step": "publish", "from": "final"},
]


@pytest.fixture
def write(cohort, tmp_path):
    """Writes a recipe beside the datalists and the config that it refers to; gives its path."""
    (tmp_path / "cohort.json").write_text((cohort / "datalist.json").read_text())
    more = write_head(tmp_path, "more", 70)
    (tmp_path / "more.json").write_text(json.dumps({"training": [more]}))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))

    def write(rounds: list[dict], **parts) -> Path:
        (tmp_path / "recipe.json").write_text(json.dumps({"rounds": rounds, **parts}))
        return tmp_path / "recipe.json"

    return write


class Runner:
    """Runs configs in this process, and is killed at one of the calls."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.killed_at = killed_at
        self.calls: list[str] = []

    def __call__(self, run_id: str, files) -> None:
        self.calls.append(Path(files[-1]).parent.name)
        if len(self.calls) == self.killed_at:
            raise KeyboardInterrupt
        metadata = f"{ROOT}/configs/metadata.json"
        flow = ConfigWorkflow(list(files), metadata, logging_file=False, run_id=run_id, bundle_root=str(ROOT))
        flow.initialize()
        flow.run()
        flow.finalize()


def test_a_recipe_goes_on_where_it_was_killed(write, tmp_path, capsys):
    recipe, work = write(ROUNDS), tmp_path / "work"
    first, second, third = Runner(killed_at=3), Runner(), Runner()
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, work, run=first)
    assert first.calls == ["networks", "judge", "calibrated"]
    products = run_recipe(recipe, work, run=second)
    assert second.calls == ["calibrated", "masks", "student", "final", "scores"]
    run_recipe(recipe, work, run=third)
    assert third.calls == [] and capsys.readouterr().out.count("has ended") == 3 + 9

    entries = json.loads(products["masks"].read_text())["training"]
    assert [("pseudo_label" in entry) for entry in entries] == [False] * 4 + [True] * 4
    judge, student = (torch.load(products[name], weights_only=True) for name in ("judge", "final"))
    # a moving average of what stays the same moves by rounding
    learnt = {name.split(".")[0] for name, value in student.items() if not torch.allclose(value, judge[name], 1e-5)}
    assert "judge" in learnt and not {"initial", "refiner"} & learnt and float(student["lesion_threshold"]) > 0
    shipped = torch.load(products["weights"], weights_only=True)
    assert (
        read_card(shipped) == read_card(student)
        and set(shipped) == set(student)
        and torch.float16 in {value.dtype for value in shipped.values()}
    )
    assert json.loads(products["scores"].read_text())["number_of_cases"] == 2

    changed = json.loads(json.dumps(ROUNDS))
    changed[0]["keys"]["epochs"] = 2
    with pytest.raises(InputError, match=r"networks: made by another recipe.*delete that folder"):
        run_recipe(write(changed), work, run=third)
    assert third.calls == []


def test_a_round_stands_for_all_that_it_was_made_of():
    before = fingerprints(ROUNDS)
    changed = json.loads(json.dumps(ROUNDS))
    changed[2]["keys"]["epochs"] = 5
    changed[0]["about"] = "words do not count"
    differ = {name for name, print_ in fingerprints(changed).items() if print_ != before[name]}
    assert differ == set(before) - {"networks", "both"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": "bake"}, "no such step as 'bake'; choose one of phantom, t2_like, prepare"),
        ({"from": "nothing.pt"}, "refers to nothing.pt, which is no round before it"),
        ({"from": None}, "without from; the step judge takes data, from, config, keys"),
        ({"epochs": 3}, "with epochs; the step judge takes"),
        ({"name": "networks"}, "give each round a name of its own"),
        ({"name": "a/b"}, "give each round a name of its own"),
        ({"config": ["missing.json"]}, "refers to missing.json"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_before_any_work(write, tmp_path, change, sentence):
    one = {name: value for name, value in {**ROUNDS[2], "data": "cohort.json", **change}.items() if value is not None}
    with pytest.raises(InputError, match=sentence):
        run_recipe(write([ROUNDS[0], one]), tmp_path / "work", run=Runner())
    assert not (tmp_path / "work").exists()


def test_inputs_are_asked_for_and_put_in(write, tmp_path):
    rounds = [{"name": "list", "step": "prepare", "keys": {"layout": "folder", "folder": "{scans}"}}]
    recipe = write(rounds, inputs={"scans": "a folder of scans"})
    with pytest.raises(InputError, match="it needs a folder of scans; give it as --input scans=PATH"):
        read_recipe(recipe, {})
    with pytest.raises(InputError, match=r"--input other: .* asks for scans"):
        read_recipe(recipe, {"scans": "x", "other": "y"})
    with pytest.raises(InputError, match="--input scans=missing: it is not there; give a folder of scans"):
        read_recipe(recipe, {"scans": "missing"})
    assert read_recipe(recipe, {"scans": str(tmp_path)})[0]["keys"]["folder"] == str(tmp_path)


def test_an_input_can_be_one_of_some_words(tmp_path):
    def keys(**inputs: str) -> dict:
        rounds = read_recipe("recipes/own_scans.json", {"scans": str(tmp_path), **inputs})
        return rounds[1]["keys"]

    assert keys(modality="t2")["modality"] == "t2"
    with pytest.raises(InputError, match=r"--input modality=t3: no such modality; choose one of flair, t1, t1ce, t2"):
        keys(modality="t3")
    with pytest.raises(InputError, match=r"it needs one of flair, t1.*; give it as --input modality=WORD"):
        keys()


def test_the_recipe_of_the_weights_can_be_run(tmp_path):
    rounds = read_recipe("recipes/flair.json", {"lgg_flair": str(tmp_path)})
    assert rounds[-1] == {"name": "weights", "step": "publish", "from": "student7_calibrated", "config": []}
    assert rounds[1]["keys"]["folder"] == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "number", "input_name"),
    [
        ("flair_fields", 9, "lgg_flair"),
        ("published_size", 3, "lgg_flair"),
        ("t1", 9, "lgg_flair"),
        ("t1ce", 9, "lgg_flair"),
        ("t2", 5, "t1"),
    ],
)
def test_the_other_recipes_can_be_run(name, number, input_name, tmp_path):
    given = tmp_path / "given"
    given.touch()
    rounds = read_recipe(f"recipes/{name}.json", {input_name: str(given)})
    assert len(rounds) == number and rounds[-1]["step"] == "publish"
    base = json.loads(Path("configs/train.json").read_text())
    keys = {key.split("#")[0] for one in rounds if one["step"] in ("train", "judge") for key in one["keys"]}
    assert keys <= set(base)


def test_the_command_from_another_folder(write, tmp_path):
    command = ["-m", "bundle.cli", "recipe", str(write(ROUNDS[:1])), "-o", "made"]
    done = python(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(torch.load(tmp_path / "made" / "networks" / "model.pt", weights_only=True)["threshold"]) > 0
    refused = python(*command, "--input", "x=y", cwd=tmp_path)
    assert refused.returncode == 1 and refused.stderr.strip().startswith("Error: --input x:")


def test_a_file_that_has_changed_since_is_noticed(write, tmp_path):
    """A datalist of the user's own, which was merged before; the same words stood for another file."""
    scans = [{"training": [{"image": f"{name}.nii.gz"}]} for name in ("a", "b", "c")]
    for name, listed in zip(("one", "two"), scans):
        (tmp_path / f"{name}.json").write_text(json.dumps(listed))
    recipe = write([{"name": "both", "step": "merge", "datalists": ["one.json", "two.json"]}])
    run_recipe(recipe, tmp_path / "work")
    run_recipe(recipe, tmp_path / "work")
    (tmp_path / "two.json").write_text(json.dumps(scans[2]))
    with pytest.raises(InputError, match=r"both: .*two\.json has changed since; delete that folder"):
        run_recipe(recipe, tmp_path / "work")
