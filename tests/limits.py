"""The limits of what is plausible, as the configs give them."""

import json
from pathlib import Path

PLAUSIBLE = json.loads((Path(__file__).resolve().parents[1] / "configs" / "inference.json").read_text())["plausible"]
