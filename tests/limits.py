"""Settings of the configs, as the functions take them."""

import json
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

PLAUSIBLE = json.loads((CONFIGS / "inference.json").read_text())["plausible"]


def of_training(name: str, **overrides: Any) -> Any:
    """What the configuration of the training has for a key."""
    parser = ConfigParser()
    parser.read_config(CONFIGS / "train.json")
    parser.update(overrides)
    return parser.get_parsed_content(name)
