"""Bad calls, each answered by one sentence before any work is done, by the command and by monai.bundle run alike."""

import json
from pathlib import Path

import pytest
import torch

from bundle.cli.bundle_files import ROOT
from bundle.cli.check import options_of_command_line
from bundle.cli.main import main
from bundle.errors import InputError
from tests.heads import write_head

MONAI = "/somewhere/monai/bundle/__main__.py"
NUMBERS = ("abc", "", "nan", "inf", "-inf", "1e999", "[1]", "$1+1", "@seed", "None", "true", "1,5")

# options of numbers, with values that are numbers and outside the range
RANGES = {
    "batch_size": ("0", "-1", "2.5"),
    "seed": ("-1", "0.5", "99999999999"),
    "radius": ("-1",),
    "start_fraction": ("2", "0", "-0.1"),
    "stop_ratio": ("-0.01", "1.01"),
    "max_iterations": ("0", "-3", "1.5"),
    "smallest_share": ("-1", "2"),
    "bias_correction": ("yes",),
    "lowest_peak": ("-1", "high"),
    "lowest_mean": ("-1", "high"),
    "sure_peak": ("-1", "high"),
    "share_ml": ("0", "large"),
    "peak_ml": ("0", "large"),
    "slice_sigma": ("-5",),
    "largest_lesion_share": ("0", "25"),
    "score_sigma": ("-1",),
    "score_limit": ("0",),
    "median_radius": ("-1", "0.5"),
    "field_of_view": ("0", "-240"),
    "image_size": ("0", "100", "120", "-128"),
    "crop_multiple": ("0", "7"),
    "intensity_percentile": ("0", "101"),
    "channels": ("0", "-8", "1.5"),
    "res_blocks": ("0",),
    "dropout": ("-0.1", "1"),
}
TRAINING_RANGES = {
    "epochs": ("0", "-1", "0.5"),
    "steps_per_epoch": ("0",),
    "learning_rate": ("0", "-0.1"),
    "ema_momentum": ("0", "2"),
    "val_interval": ("0",),
    "save_interval": ("0",),
    "validation_fraction": ("-1", "0", "1.5"),
    "validation_batch_size": ("0",),
    "validation_slices": ("0",),
    "lesion_margin": ("-1",),
    "smallest_brain": ("-0.1", "2"),
    "threshold_percentile": ("-1", "101"),
    "num_workers": ("-1",),
    "flip_probability": ("-1", "2"),
}
OTHERS = (
    ("device", "cuda:77"),
    ("device", "gpu"),
    ("device", "0"),
    ("device", "cuda:x"),
    ("amp", "perhaps"),
    ("amp", "2"),
    ("progress", "maybe"),
    ("modality", "FLAIR"),
    ("modality", "flare"),
    ("modality", ""),
    ("contrast", "bright "),
    ("contrast", "brigth"),
    ("judge_scales", "1.5"),
    ("judge_scales", "[]"),
    ("judge_scales", "[1,0]"),
    ("channel_multipliers", "8"),
    ("channel_multipliers", "[]"),
    ("channel_multipliers", "[1,a,2,3,4]"),
    ("channel_multipliers", "[1,2]"),
    ("channel_multipliers", "[0,1,2,3,4]"),
    ("attention_levels", "[maybe,true,true,true,true]"),
    ("attention_levels", "[true]"),
    ("ckpt_path", "missing.pt"),
    ("ckpt_path", "."),
    ("brain_mask", "missing.nii.gz"),
    ("datalist", "missing.json"),
    ("datalist", "."),
    ("output_dir", "file/out"),
    ("output_dir", "file"),
    ("output_dir", "/proc/out"),
    ("output_dir", ""),
)
TRAINING_OTHERS = (
    ("slices", "70"),
    ("slices", "[70]"),
    ("slices", "[89,70]"),
    ("slices", "[-1,5]"),
    ("slices", "[1,2,3]"),
    ("pretrained", "missing.pt"),
    ("cache_dir", "file"),
    ("compile", "perhaps"),
    ("paint_small_lesions", "perhaps"),
    ("vary_scanner", "2"),
)
INFERENCE_CALLS = [
    *((name, value) for name, values in RANGES.items() for value in (*values, "abc", "nan", "inf")),
    *(("batch_size", value) for value in NUMBERS),
    *(("start_fraction", value) for value in NUMBERS),
    *OTHERS,
]
TRAINING_CALLS = [
    *((name, value) for name, values in TRAINING_RANGES.items() for value in (*values, "abc")),
    *TRAINING_OTHERS,
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a scan, a datalist and an earlier result, none of which a refused call may touch."""
    write_head(tmp_path, "scan", 0)
    (tmp_path / "scan_flair.nii.gz").rename(tmp_path / "scan.nii.gz")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "a"}], "test": [{"image": "scan.nii.gz"}]}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("of an earlier run")
    torch.save({"threshold": torch.tensor(1.0)}, tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    yield tmp_path
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def is_a_sentence(text: str) -> bool:
    return bool(text.strip()) and text.strip()[-1] in ".?" and "\n" not in text.strip() and "Traceback" not in text


def refused_by_the_command(*words: str, capsys) -> str:
    capsys.readouterr()
    assert main(list(words)) == 1, words
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("\nError: "), said
    sentence = said.err.removeprefix("\nError: ")
    assert is_a_sentence(sentence), sentence
    return sentence


def refused_by_monai(run: str, configs, *words: str) -> str:
    files = [str(ROOT / "configs" / f"{name}.json") for name in configs]
    with pytest.raises(InputError) as caught:
        options_of_command_line(
            [MONAI, "run", run, "--config_file", files[0] if len(files) == 1 else str(files), *words]
        )
    assert is_a_sentence(str(caught.value)), caught.value
    return str(caught.value)


@pytest.mark.parametrize(("name", "value"), INFERENCE_CALLS)
def test_values_of_an_inference(name, value, here, capsys):
    given = () if name == "datalist" else ("scan.nii.gz",)
    by_command = refused_by_the_command("segment", *given, f"--{name}={value}", capsys=capsys)
    image = () if name == "datalist" else ("--image", "scan.nii.gz")
    by_monai = refused_by_monai("inference", ["inference"], *image, f"--{name}={value}")
    assert by_command.strip() == by_monai.strip() and f"--{name}" in by_monai


@pytest.mark.parametrize(("name", "value"), TRAINING_CALLS)
def test_values_of_a_training(name, value, here, capsys):
    by_command = refused_by_the_command("train", ".", f"--{name}={value}", capsys=capsys)
    by_monai = refused_by_monai("training", ["train"], "--dataset_dir", ".", f"--{name}={value}")
    assert by_command.strip() == by_monai.strip() and f"--{name}" in by_monai


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--image", "scan.nii.gz", "file"], "file: a word that belongs to no option"),
        (["--image", "scan.nii.gz", "file", "file"], "a word that belongs to no option"),
        (["--image", "missing.nii.gz"], "missing.nii.gz: no such file"),
        (["--image", "['scan.nii.gz','missing.nii']"], "missing.nii"),
        (["--image"], "a value is missing"),
        (["--image", "--output_dir", "out"], "a value is missing"),
        (["--image", "scan.nii.gz", "--image", "file"], "given twice"),
        (["--imagee", "scan.nii.gz"], "did you mean --image?"),
        (["-o", "out"], "--o: no such option"),
        (["--image", "scan.nii.gz", "--datalist", "list.json"], "both given"),
        (["--image", "scan.nii.gz", "--dataset_dir", "."], "both given"),
        (["--brain_mask", "scan.nii.gz", "--datalist", "list.json"], "both given"),
        (["--brain_mask", "scan.nii.gz", "--brain_mask_pattern", "x"], "both given"),
        (["--brain_mask_pattern", "x", "--datalist", "list.json"], "both given"),
        (["--series", "2", "--datalist", "list.json"], "both given"),
        (["--pattern", "*.nii", "--datalist", "list.json"], "both given"),
        (["--init_id", "nothing"], "no such key"),
        (["--final_id", "nothing"], "no such key"),
        (["--run_id", "inference"], "belongs to no option"),
        (["--bundle_root", "nowhere"], "no such folder"),
        (["--evaluator#amp", "$print(1)"], "expressions"),
        (["--network_def#_target_", "os.system"], "expressions"),
        (["--network_def", "{'_target_': 'os.system'}"], "expressions"),
        (["--threshold_search#ratio", "abc"], "give a number"),
        (["--threshold_search#ratio", "inf"], "give a number"),
        (["--threshold_search#softness", "nan"], "give a number"),
        (["--threshold_search#soft", "1"], "the config has no soft there"),
        (["--plausible", "{'brain_ml': [1, 5000]}"], "give them one by one, as in --plausible#fewest_voxels"),
        (["--plausible#brain_ml", "large"], "give a list"),
        (["--preprocessing#transform#0", "1"], "the config has no transform"),
    ],
)
def test_calls_of_monai(words, said, here):
    assert said in refused_by_monai("inference", ["inference"], *words)


@pytest.mark.parametrize("run", ["inferense", "image", "training", "evaluator", "initialize", "finalize", "None"])
def test_runs_that_do_not_exist(run, here):
    assert "nothing of that name can be run" in refused_by_monai(run, ["inference"], "--image", "scan.nii.gz")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["missing.nii.gz"],
        ["scan.nii.gz", "missing.nii.gz"],
        ["scan.nii.gz", "--config", "missing.json"],
        ["scan.nii.gz", "--config", "publishd"],
        ["scan.nii.gz", "--outputdir", "out"],
        ["scan.nii.gz", "-o"],
        ["scan.nii.gz", "--datalist", "list.json"],
        ["scan.nii.gz", "--brain_mask", "file", "--brain_mask_pattern", "x"],
        ["--datalist", "list.json", "--brain_mask_pattern", "x"],
    ],
)
def test_calls_of_segment(words, here, capsys):
    refused_by_the_command("segment", *words, capsys=capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["segmnt", "scan.nii.gz"],
        ["--verson"],
        ["train"],
        ["train", "missing"],
        ["train", "scan.nii.gz"],
        ["train", ".", "--datalist", "list.json"],
        ["train", ".", "--judge"],
        ["train", ".", "--judged_iterations", "2"],
        ["train", ".", "--judge", "--pretrained", "weights.pt", "--judged_iterations", "0"],
        ["calibrate"],
        ["calibrate", ".", "--only", "both"],
        ["calibrate", ".", "--lesion_percentile", "101"],
        ["calibrate", ".", "--epochs", "3"],
        ["evaluate"],
        ["evaluate", "missing.json"],
        ["evaluate", "."],
        ["evaluate", "list.json", "--best_possible_step", "0"],
        ["evaluate", "list.json", "--found_share", "0"],
        ["compare", "missing"],
        ["compare", "out", "--validation", "missing"],
        ["compare", "out", "--label-fre"],
        ["prepare", "brats2020", ".", "new.json"],
        ["prepare", "folder", "missing", "new.json"],
        ["prepare", "folder", ".", "."],
        ["prepare", "folder", ".", "new.txt"],
        ["prepare", "folder", ".", "missing/../file/new.json"],
        ["prepare", "folder", ".", "new.json", "--validation", "-1"],
        ["prepare", "folder", ".", "new.json", "--validation", "nan"],
        ["prepare", "folder", ".", "new.json", "--validation", "1.5"],
        ["prepare", "folder", ".", "new.json", "--validation", "all"],
        ["prepare", "folder", ".", "new.json", "--test", "some"],
        ["prepare", "folder", ".", "new.json", "--modality", "pet"],
        ["prepare", "folder", ".", "new.json", "--workers", "0"],
        ["prepare", "folder", ".", "new.json", "--seed", "x"],
        ["prepare", "folder", ".", "new.json", "--validaton", "1"],
        ["prepare", "folder", ".", "new.json", "extra"],
        ["prepare", "folder", ".", "new.json", "--patient", "("],
        ["phantom", "file"],
        ["phantom", "new", "--training", "-1"],
        ["phantom", "new", "--patients", "many"],
        ["phantom", "new", "--kinds", "tumour"],
        ["phantom", "new", "--kinds", "[tumour]"],
        ["phantom", "new", "--modality", "ct"],
        ["phantom", "new", "--workers", "0"],
        ["phantom", "new", "--lesion_shapes", "nowhere"],
        ["merge"],
        ["merge", "new.json"],
        ["merge", "new.json", "list.json"],
        ["merge", "list.json", "list.json", "list.json"],
        ["merge", "new.json", "list.json", "missing.json"],
        ["merge", "new.json", "list.json", "file"],
        ["pseudo-labels", "list.json", "missing", "new.json"],
        ["pseudo-labels", "list.json", "out", "."],
        ["pseudo-labels", "list.json", "out", "new.json", "more"],
        ["publish", "missing.pt", "--target", "new.pt"],
        ["publish", "file", "--target", "new.pt"],
        ["publish", "weights.pt"],
        ["publish", "weights.pt", "--target", "new.txt"],
        ["publish", "weights.pt", "--targt", "weights.pt"],
        ["convert", "weights.pt", "missing.pt"],
        ["convert", "weights.pt", "file"],
        ["convert", "weights.pt", "weights.pt", "--threshold", "-1"],
        ["convert", "weights.pt", "weights.pt", "--threshold", "inf"],
        ["convert", "weights.pt", "weights.pt", "--outputt", "new.pt"],
        ["export", "model.txt"],
        ["export", "model.ts", "--ckpt_path", "missing.pt"],
        ["export", "model.ts", "--config", "missing"],
        ["label", ".", "--port", "0"],
        ["simulate-clicks", "missing.json"],
        ["simulate-clicks", "list.json", "--device", "gpu"],
        ["simulate-clicks", "list.json", "--radius", "-1"],
        ["stability"],
        ["stability", "missing.json"],
        ["stability", "list.json", "list.json"],
        ["stability", "list.json", "--pattern", "*.nii"],
        ["stability", "list.json", "--config", "contrasts"],
        ["stability", "list.json", "--device", "gpu"],
        ["label", ".", "--port", "http"],
    ],
)
def test_calls_of_the_other_subcommands(words, here, capsys):
    refused_by_the_command(*words, capsys=capsys)
