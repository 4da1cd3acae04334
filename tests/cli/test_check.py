import json

import pytest

from bundle.cli.check import options_of_command_line as check_options
from bundle.cli.options import check_together
from bundle.errors import InputError
from tests.flows import command
from tests.programs import python

RUN = ["/somewhere/monai/bundle/__main__.py", "run"]
TWO = ["--config_file", "['configs/train.json','configs/judge.json']"]


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["--imagee", "x.nii.gz"], "--image?"),
        (["--brainmask=mask.nii.gz"], "--brain_mask?"),
        (["--outputdir", "x"], "--output_dir?"),
        (["--zzz", "1"], "keys"),
    ],
)
def test_mistyped_options_are_refused(options, meant):
    with pytest.raises(InputError, match="no such option") as caught:
        check_options([*RUN, "inference", "--config_file", "configs/inference.json", *options])
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        ["training", *TWO, "--judged_iterations", "3", "--epochs=4", "--validate#dataset#limit", "5"],
        ["training", *TWO, "--logging-file", "x.conf", "--slices", "[70,89]", "--train::sampler::num_samples", "1"],
        ["--config_file=configs/inference.json", "--run_id", "inference", "--image", "docs"],
    ],
)
def test_options_that_exist(options):
    check_options([*RUN, *options])


def test_other_commands_are_let_pass():
    check_options(["/somewhere/pytest", "--durations", "3"])
    check_options([RUN[0], "ckpt_export", "network_def", "--config_file", "configs/inference.json", "--any", "x"])


def test_the_options_of_a_file_are_checked_too(tmp_path):
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"config_file": "configs/inference.json", "run_id": "inference", "max_iterations": 0}))
    with pytest.raises(InputError, match="--max_iterations 0: give a whole number from 1"):
        check_options([*RUN, "--args_file", str(file)])
    assert check_options([*RUN, "--args_file", str(file), "--max_iterations", "3"]) == {"max_iterations": 3}


@pytest.mark.parametrize("configs", [("inference", ["inference"]), ("training", ["train"])])
def test_the_workflows_check_their_options(configs, tmp_path):
    typed = command(*configs, output_dir=str(tmp_path / "out"), outputt="x")
    done = python(*typed)
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert done.stderr.rstrip().splitlines()[-1].startswith("Error: --outputt: no such option")


def test_the_two_volumes_between_which_contrasts_come_together_are_in_order():
    check_together({"together_ml": [15.0, 25.0]}, set())
    with pytest.raises(InputError, match="exchange them"):
        check_together({"together_ml": [25.0, 15.0]}, set())
