"""What a saved review notes."""

import json

import pytest
import torch

from bundle.label.made_with import made_with


def test_what_is_noted_is_plain_data_whatever_the_options_are():
    noted = json.loads(json.dumps(made_with((), {"modality": "t1", "device": torch.device("cpu")})))
    assert noted["settings"]["device"] == "cpu" and noted["settings"]["modality"] == "t1"
    assert noted["weights"]["file"] == "t1.pt"


@pytest.mark.parametrize(
    ("config", "modality", "file"), [(("published",), "flair", "published.pt"), ((), "t2", "model.pt")]
)
def test_the_weights_are_those_that_the_configs_load(config, modality, file):
    assert made_with(config, {"modality": modality})["weights"]["file"] == file
