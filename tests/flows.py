"""Running the bundle's workflows as ``python -m monai.bundle run`` runs them, with networks small enough for a CPU."""

from __future__ import annotations

from typing import Any

from monai.bundle import ConfigWorkflow

# with the networks that the training gives, which have no judge
SMALL = {
    "judge#_disabled_": True,
    "image_size": 32,
    "channels": 4,
    "channel_multipliers": [1, 2],
    "attention_levels": [False, True],
    "radius": 4,
    "batch_size": 4,
}

JUDGED = {"judge#_disabled_": False}

# the settings of the refinement that configs/inference.json has
REFINEMENT = {
    "radius": 15.0,
    "start_fraction": 0.6,
    "stop_ratio": 0.01,
    "max_iterations": 50,
    "contrast": "any",
    "score_sigma": 0.8,
    "score_limit": 4.0,
    "score": "intensity",
    "judge_scales": [1.0, 1.25],
    "multiple": 16,
}


def workflow(kind: str, files: list[str], **overrides: Any) -> ConfigWorkflow:
    """A workflow of the configs ``files``; ``kind`` is "train" or "infer"."""
    return ConfigWorkflow(
        config_file=[f"configs/{name}.json" for name in files],
        meta_file="configs/metadata.json",
        logging_file=None,
        workflow_type=kind,
        **{**SMALL, **overrides},
    )


def run(kind: str, files: list[str], **overrides: Any) -> ConfigWorkflow:
    """Run a workflow from beginning to end, as the tests of MONAI's model zoo do."""
    flow = workflow(kind, files, **overrides)
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    flow.finalize()
    return flow


def options(**overrides: Any) -> list[str]:
    """Overrides as they are typed."""
    return [part for name, value in {**SMALL, **overrides}.items() for part in (f"--{name}", str(value))]


def command(run_id: str, files: list[str], **overrides: Any) -> list[str]:
    """The command that the README shows, behind the word "python"."""
    configs = "[" + ",".join(f"'configs/{name}.json'" for name in files) + "]"
    return ["-m", "monai.bundle", "run", run_id, "--config_file", configs, *options(**overrides)]
