import json
import re
import tomllib
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.cli import values_of
from bundle.errors import InputError
from bundle.model import read_card
from tests.flows import workflow
from tests.limits import of_training

CONFIGS = sorted(Path(__file__).resolve().parents[1].glob("configs/*.json"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_json_is_written_as_the_model_zoo_wants_it(path):
    text = path.read_text()
    assert text == json.dumps(json.loads(text), indent=4) + "\n"


def test_training_and_inference_build_the_same_model_from_scans_prepared_in_the_same_way():
    """MONAI reads each workflow from one file, so what both need stands in both, letter for letter."""
    train, inference = (json.loads(Path(f"configs/{name}.json").read_text()) for name in ("train", "inference"))
    assert train["judge"].pop("_disabled_") is True
    shared = set(train) & set(inference) - {"imports", "dataset_dir", "datalist", "output_dir", "batch_size", "amp"}
    shared -= {"initialize", "run", "finalize", "network", "plausible", "contrast_check"}
    # which volumes there are, and that some may be missing
    shared -= {"loaded", "placed", "resized", "interpolation", "labels_may_be_missing"}
    assert {name: train[name] for name in shared} == {name: inference[name] for name in shared}
    assert {"network_def", "judge", "contrast", "score", "score_sigma", "crop_multiple", "load", "normalise"} <= shared


def test_limits_stand_in_one_config_and_a_training_may_change_some():
    inference = json.loads(Path("configs/inference.json").read_text())
    for name in ("plausible", "contrast_check"):
        assert of_training(name) == inference[name]
    changed = of_training("plausible", **{"plausible::head_ml": 9000.0})
    assert changed == {**inference["plausible"], "head_ml": 9000.0}
    with pytest.raises(InputError, match=r"^--plausible#haed_ml: there is no such value; there are fewest_voxels, "):
        values_of("configs/inference.json", "plausible", haed_ml=1.0)
    with pytest.raises(InputError, match=r"^--plausible#head_ml large: give a number"):
        values_of("configs/inference.json", "plausible", head_ml="large")
    with pytest.raises(InputError, match=r"^--plausible#brain_ml 900: give a list of 2 values"):
        values_of("configs/inference.json", "plausible", brain_ml=900)


def test_evaluation_and_comparison_count_the_same_lesions_as_found():
    evaluate, comparison = (json.loads(Path(f"configs/{name}.json").read_text()) for name in ("evaluate", "comparison"))
    assert evaluate["found_share"] == comparison["comparison"]["found_share"]


def test_a_training_does_not_go_on_with_other_painting_or_another_scanner():
    def made_from(*keys, **values):
        flow = workflow("train", ["train", "judge"], **values)
        return [str(flow.parser.get_parsed_content(f"made_from#{key}")) for key in keys]

    for key, name, value in (
        *(("scanner", "vary_scanner", True), ("contrast_change", "vary_scanner", True)),
        *(("small_lesions", "paint_small_lesions", True), ("flip_probability", "flip_probability", 0.25)),
        *(("synthetic_lesions", "synthetic_lesions#probability", 0.5), ("judged_iterations", "judged_iterations", 3)),
        ("training_masks", "training_masks#wide_frame", 20.0),
    ):
        assert made_from(key) == made_from(key) != made_from(key, **{name: value})


def test_overlays_lie_on_one_base_and_name_what_they_change():
    for path in CONFIGS:
        assert not re.search(r"#\d|transforms\[", path.read_text()), "position surgery"
    base = set(json.loads(Path("configs/inference.json").read_text()))
    for name in ("evaluate", "calibrate_judge"):
        for key in json.loads(Path(f"configs/{name}.json").read_text()):
            assert not key.startswith("+") or key[1:] in base


def test_the_published_network_is_an_override_away():
    parser = ConfigParser()
    parser.read_config(["configs/inference.json", "configs/published_size.json"])
    model = parser.get_parsed_content("network_def")
    assert sum(p.numel() for p in model.refiner.parameters()) == pytest.approx(5.9e6, rel=0.01)


def test_the_published_method_is_an_override_away():
    parser = ConfigParser()
    parser.read_config(["configs/train.json", "configs/published.json"])
    names = ("contrast", "threshold_percentile", "synthetic_lesions", "crop_multiple")
    assert [parser.get_parsed_content(name) for name in names] == ["any", 80.0, None, None]
    assert parser.get_parsed_content("train#augmentation").transforms[0].prob == 0
    parser.read_config(["configs/inference.json", "configs/published.json"])
    assert parser.get_parsed_content("network_def").judge is None
    steps = [type(step).__name__ for step in parser.get_parsed_content("postprocessing").transforms]
    assert not {"MarkLesionsd", "MedianSmoothd"} & set(steps)


@pytest.mark.parametrize(("modality", "contrast"), [("flair", "bright"), ("t1", "dark"), ("t1ce", "any")])
def test_the_modality_says_how_lesions_differ(modality, contrast):
    for name in ("train", "inference"):
        parser = ConfigParser()
        parser.read_config(f"configs/{name}.json")
        parser["modality"] = modality
        assert parser.get_parsed_content("contrast") == contrast
        parser["contrast"] = "any"
        assert parser.get_parsed_content("network_def", instantiate=True).contrast == "any"


@pytest.mark.parametrize(("modality", "shares"), [("t2", (0.1, 0.0)), ("t1", (0.85, 0.85)), ("t1ce", (0.75, 0.7))])
def test_lesions_are_painted_as_the_modality_has_them(modality, shares):
    painted = [of_training(name, modality=modality) for name in ("synthetic_lesions", "small_lesions")]
    assert tuple(one["dark_share"] for one in painted) == shares


@pytest.mark.parametrize(
    ("name", "files", "modality"),
    [
        ("model", ["inference"], "flair"),
        ("model", ["train", "calibrate"], "flair"),
        ("published", ["inference", "published"], "flair"),
        ("t1", ["inference"], "t1"),
        ("t1", ["train", "calibrate"], "t1"),
        ("t1ce", ["inference"], "t1ce"),
    ],
)
def test_the_shipped_weights_fit_and_are_calibrated(name, files, modality):
    """The modality picks the file, in inference as in calibration."""
    parser = ConfigParser()
    parser.read_config([f"configs/{file}.json" for file in files])
    parser["modality"] = modality
    model = parser.get_parsed_content("network_def")
    path = Path(parser.get_parsed_content("ckpt_path"))
    state = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    shipped = sorted(Path("models").glob("*.pt"))
    assert [p.name for p in shipped] == ["model.pt", "published.pt", "t1.pt", "t1ce.pt"]
    assert path.samefile(f"models/{name}.pt") and sum(p.stat().st_size for p in shipped) <= 25e6
    model.load_state_dict(state)
    # the card says what the configs say; that of FLAIR is older than the setting "score"
    card = {"score": "intensity", **read_card(state)}
    note = card.pop("note", "")
    assert card == model.card and model.card["modality"] == modality
    assert ("were not measured" in note) == (modality != "flair")
    assert float(model.threshold) > 0 and (model.judge is None or 0 < float(model.lesion_threshold) < 1)
    assert all(v.dtype == torch.float32 for name, v in state.items() if "running" in name)


def test_monai_labels_generic_app_is_told_the_weights():
    """It takes the file of ``models/`` with the shortest name otherwise, which is that of T1."""
    config = json.loads(Path("configs/inference.json").read_text())
    assert config["displayable_configs"]["model_filename"] == [config["shipped_weights"][config["modality"]]]


def test_a_network_is_swapped_in_the_config_alone():
    unet = {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2, "out_channels": 1}
    unet |= {"channels": [8, 16], "strides": [2]}
    flow = workflow(
        "infer",
        ["inference"],
        **{"network_def#initial": {**unet, "in_channels": 1}, "network_def#refiner": {**unet, "in_channels": 2}},
    )
    flow.initialize()
    network = flow.network_def.eval()
    assert type(network.refiner).__name__ == "UNet"
    network.threshold.fill_(1.0)
    volume = torch.full((1, 1, 32, 32, 2), -3.0)
    volume[:, :, 8:24, 8:24] = torch.randn(1, 1, 16, 16, 2)
    with torch.no_grad():
        assert flow.inferer(volume, network)["refined_mask"].shape == (1, 1, 32, 32, 2)


def test_inference_properties():
    flow = workflow("infer", ["inference"])
    flow.initialize()
    assert flow.check_properties() == []
    assert flow.parser["inference"] == flow.parser["run"]


def test_a_result_is_done_again_when_anything_that_shapes_it_changes():
    """Each key that a user may set is a setting of the results, part of the weights, or shapes no result."""
    config = json.loads(Path("configs/inference.json").read_text())
    names = {name for name, value in config.items() if not isinstance(value, list) and "_target_" not in str(value)}
    names |= {"contrast", "score"}
    paths = {"bundle_root", "image", "brain_mask", "brain_mask_pattern", "series", "dataset_dir", "datalist", "split"}
    paths |= {"pattern", "output_dir", "ckpt_path", "shipped_weights", "results", "labels_may_be_missing"}
    # for MONAI Label alone
    paths |= {"displayable_configs"}
    computer = {"device", "amp", "cpu_precision", "batch_size", "progress", "overwrite", "shard", "network", "settings"}
    computer |= {"announce", "bias_corrections", "scales_by_score", "inferer", "prepare_batch", "leading_network"}
    of_weights = {"channels", "res_blocks", "dropout"}
    assert names - paths - computer - of_weights == set(config["settings"]) - {"judge", "can_strip_skulls"}


def test_small_lesions_and_other_scanners_are_off_until_asked_for():
    parser = ConfigParser()
    parser.read_config("configs/train.json")
    plain = parser.get_parsed_content("appearance")
    assert plain.lesions["most_lesions"] == 6
    assert plain.small_lesions is plain.scanner is plain.contrast_change is None
    parser.read_config(["configs/train.json", "configs/judge.json"])
    parser["paint_small_lesions"] = parser["vary_scanner"] = True
    full = parser.get_parsed_content("appearance")
    assert full.small_lesions["most_lesions"] == 16
    assert full.scanner["field_share"] == 0.6 and full.contrast_change["share"] == 0.5
    assert parser["train"]["prepare_batch"]["appearance"] == "@appearance"


def test_networks_are_trained_calibrated_and_used_in_one_window():
    training, inference = (json.loads(Path(f"configs/{name}.json").read_text()) for name in ("train", "inference"))
    assert training["crop_multiple"] == inference["crop_multiple"] == 16
    used = (training["train"]["prepare_batch"], training["validate"]["prepare_batch"], inference["search"])
    assert [part["crop_multiple"] for part in used] == ["@crop_multiple"] * 3


def test_what_a_sentence_says_to_install_is_what_the_extras_name():
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, module in (
        ("skull", "preprocessing/brain_extraction"),
        ("onnx", "model/exporting"),
        ("onnx", "cli/weights"),
    ):
        assert "pip install " + " ".join(extras[name]) in Path(f"bundle/{module}.py").read_text()
    said = Path("bundle/review/launcher.py").read_text()
    assert "pip install " + " ".join(wanted.split(">=")[0] for wanted in extras["review"]) in said
