from subprocess import CompletedProcess

import pytest
import torch
from ignite.engine import Engine

from bundle.errors import InputError
from bundle.model.authors_checkpoint import convert_reference_state
from bundle.model.card import read_card, weights_note
from bundle.model.checkpoint import ModelLoader
from bundle.model.exporting import export_torchscript, loaded
from bundle.model.network import ReconstructionUNet
from bundle.model.refinement import IterMaskNet
from tests.flows import REFINEMENT
from tests.networks import small_network
from tests.programs import python


def with_dead_layers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' layout to the letter: a time embedding, and an embedding layer in every residual block."""
    dead = {f"time_embed.{i}.{kind}": torch.zeros(32) for i in (0, 2) for kind in ("weight", "bias")}
    for name, value in state.items():
        if name.endswith("out_layers.3.bias"):
            dead[name.replace("out_layers.3.bias", "emb_layers.1.weight")] = torch.zeros(2 * len(value), 32)
            dead[name.replace("out_layers.3.bias", "emb_layers.1.bias")] = torch.zeros(2 * len(value))
    return {**state, **dead}


def convert(*arguments: str) -> CompletedProcess:
    return python("-m", "scripts.convert_reference_checkpoint", *arguments)


def test_command_converts_and_the_result_reproduces_the_recording(golden, golden_states, tmp_path):
    for name, state in golden_states.items():
        torch.save(with_dead_layers(state), tmp_path / f"{name}.pt")
    output = tmp_path / "model.pt"
    done = convert(str(tmp_path / "initial.pt"), str(tmp_path / "refiner.pt"), "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert '--channels 8 --channel_multipliers "[1, 2, 3, 4]"' in done.stdout and "calibrate" in done.stdout
    assert "--res_blocks 2" in done.stdout
    model = torch.load(output, weights_only=True)
    initial = small_network(
        2, 1, channels=8, channel_multipliers=(1, 2, 3, 4), attention_levels=(False, True, True, True), res_blocks=2
    ).eval()
    initial.load_state_dict({k.removeprefix("initial."): v for k, v in model.items() if k.startswith("initial.")})
    with torch.no_grad():
        result = initial(golden["test/high_frequency"])
    assert torch.allclose(result, golden["test/initial_reconstruction"], atol=1e-4)
    assert torch.isnan(model["threshold"])


def test_sizes_are_inferred():
    for arguments in (
        {"channels": 4, "channel_multipliers": [1, 1, 2, 3, 4], "attention_levels": [False, False, True, True, True]},
        {"channels": 6, "channel_multipliers": [1, 3], "attention_levels": [False, True]},
    ):
        network = ReconstructionUNet(2, 2, res_blocks=2, dropout=0.1, **arguments)
        theirs = {}
        for name, value in network.state_dict().items():
            for ours, original in (
                ("encoder.", "input_blocks."),
                ("decoder.", "output_blocks."),
                ("middle.", "middle_block."),
                (".norm1.", ".in_layers.0."),
                (".conv1.", ".in_layers.2."),
                (".norm2.", ".out_layers.0."),
                (".conv2.", ".out_layers.3."),
                (".skip.", ".skip_connection."),
                (".project.", ".proj_out."),
            ):
                name = name.replace(ours, original)
            theirs[name] = value
        state, found = convert_reference_state(theirs)
        known = {"spatial_dims": 2, "in_channels": 2, "out_channels": 1, "res_blocks": 2, "dropout": 0.1}
        assert found == {**known, **arguments}
        network.load_state_dict(state)


def test_faults_are_said_in_one_sentence(golden_states, tmp_path):
    good = {name: str(tmp_path / f"{name}.pt") for name in golden_states}
    for name, state in golden_states.items():
        torch.save(state, good[name])
    (tmp_path / "text.pt").write_text("not a checkpoint")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "foreign.pt")
    cases = {
        "no such file": [str(tmp_path / "missing.pt"), good["refiner"]],
        "not a checkpoint of the authors' program": [str(tmp_path / "text.pt"), good["refiner"]],
        "give the state dict": [good["initial"], str(tmp_path / "foreign.pt")],
        "initial network first": [good["refiner"], good["initial"]],
    }
    for said, files in cases.items():
        done = convert(*files, "--output", str(tmp_path / "out.pt"))
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "out.pt").exists()


def test_other_state_dicts_are_refused():
    for state in ({}, {"weight": torch.zeros(1)}, [1, 2]):
        with pytest.raises(ValueError, match="layout of the authors"):
            convert_reference_state(state)


def test_only_a_judge_may_be_missing_where_that_is_allowed(golden_model, tmp_path, caplog):
    state = golden_model.state_dict()
    torch.save(state, tmp_path / "pair.pt")
    judged = IterMaskNet(golden_model.initial, golden_model.refiner, judge=torch.nn.Conv2d(2, 1, 1), **REFINEMENT)
    engine = Engine(lambda *_: None)
    judged.lesion_threshold.fill_(0.3)
    ModelLoader(str(tmp_path / "pair.pt"), judged, to_train=True)(engine)
    assert judged.lesion_threshold.isnan(), "a judge that is to be trained has no threshold"
    with pytest.raises(InputError, match="has no judge"):
        ModelLoader(str(tmp_path / "pair.pt"), judged)(engine)
    torch.save(judged.state_dict(), tmp_path / "judged.pt")
    with pytest.raises(InputError, match=r"no threshold; set it .* itermask2 calibrate"):
        ModelLoader(str(tmp_path / "judged.pt"), judged)(engine)
    ModelLoader(str(tmp_path / "judged.pt"), judged, calibrated=False)(engine)
    # a model without a judge has no use for one
    torch.save(judged.state_dict(), tmp_path / "judged.pt")
    ModelLoader(str(tmp_path / "judged.pt"), golden_model)(engine)
    assert "left out" not in caplog.text
    ModelLoader(str(tmp_path / "judged.pt"), golden_model, to_train=True)(engine)
    assert "its judge is left out" in caplog.text
    for other in (
        {name: value for name, value in state.items() if "refiner" not in name},
        {**state, "refiner.another": torch.zeros(1)},
    ):
        torch.save(other, tmp_path / "other.pt")
        with pytest.raises(InputError, match="not a checkpoint of this network"):
            ModelLoader(str(tmp_path / "other.pt"), golden_model, to_train=True)(engine)


def with_card(model: IterMaskNet, card: dict) -> IterMaskNet:
    copy = IterMaskNet(model.initial, model.refiner, card=card, **REFINEMENT)
    copy.threshold.copy_(model.threshold)
    return copy


def test_weights_know_their_modality(golden_model, tmp_path, caplog):
    path, engine = str(tmp_path / "model.pt"), Engine(lambda *_: None)
    torch.save(with_card(golden_model, {"modality": "flair", "image_size": 64}).state_dict(), path)
    saved = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in saved.values())
    assert read_card(saved) == {"modality": "flair", "image_size": 64}
    ModelLoader(path, with_card(golden_model, {"modality": "flair", "image_size": 64}))(engine)
    assert "may be wrong" not in caplog.text
    other = with_card(golden_model, {"modality": "t1", "image_size": 64})
    with pytest.raises(InputError, match=r"model.pt: these weights are for flair images.* t1; .*--modality flair"):
        ModelLoader(path, other)(engine)
    # whoever loads them
    with pytest.raises(InputError, match=r"^These weights are for flair images, and this model is for t1"):
        other.load_state_dict(saved)
    # a training may start from them, and makes weights of its own modality
    ModelLoader(path, other, to_train=True)(engine)
    assert read_card(other.state_dict())["modality"] == "t1"
    ModelLoader(path, with_card(golden_model, {"modality": "flair", "image_size": 96}))(engine)
    assert "image_size 64, and this run has image_size 96" in caplog.text


def test_a_note_goes_with_the_file_and_is_no_setting(golden_model, tmp_path, caplog):
    path = str(tmp_path / "model.pt")
    torch.save(with_card(golden_model, {"modality": "t1", "note": "Measured on 3 scans."}).state_dict(), path)
    assert weights_note(path) == "Measured on 3 scans."
    ModelLoader(path, with_card(golden_model, {"modality": "t1"}))(Engine(lambda *_: None))
    assert "may be wrong" not in caplog.text
    torch.save(with_card(golden_model, {"modality": "t1"}).state_dict(), path)
    assert weights_note(path) == ""
    (tmp_path / "text.pt").write_text("no weights")
    assert weights_note(str(tmp_path / "text.pt")) == weights_note(str(tmp_path / "missing.pt")) == ""


def test_a_note_outlives_a_calibration_and_no_training(golden_model, tmp_path):
    path = tmp_path / "noted.pt"
    torch.save(with_card(golden_model, {"modality": "t1", "note": "Measured on nobody."}).state_dict(), path)
    for to_train, note in ((False, "Measured on nobody."), (True, None)):
        model = with_card(golden_model, {"modality": "t1"})
        ModelLoader(str(path), model, to_train=to_train)(Engine(lambda engine, batch: None))
        assert read_card(model.state_dict()).get("note") == note


def test_a_checkpoint_without_a_card_is_taken_as_it_is(golden_model, tmp_path):
    state = golden_model.state_dict()
    del state["_extra_state"]
    torch.save(state, tmp_path / "old.pt")
    ModelLoader(str(tmp_path / "old.pt"), with_card(golden_model, {"modality": "t1"}))(Engine(lambda *_: None))
    with_card(golden_model, {}).load_state_dict(state)


def test_an_exported_model_is_for_the_modality_of_its_weights(tmp_path):
    for name, score in (("t1", "probability"), ("model", "intensity")):
        target = str(tmp_path / f"{name}.ts")
        model = loaded(["configs/inference.json"], ".", f"models/{name}.pt")
        export_torchscript(model, ["configs/inference.json"], ".", target)
        assert torch.jit.load(target).score == score
