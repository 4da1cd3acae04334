"""What several tests need: the recorded run of the authors' program, a small cohort, and a model trained on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from bundle.model.authors_checkpoint import convert_reference_state
from bundle.model.network import ReconstructionUNet
from bundle.model.refinement import IterMaskNet
from tests.flows import JUDGED, REFINEMENT, run
from tests.heads import write_head

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def in_bundle_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the README runs from the root of the bundle; so do the tests."""
    monkeypatch.chdir(ROOT)


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], None]) -> Path:
    """A folder that one of the processes of the tests fills, for all of them."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not Path(f"{folder}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            Path(f"{folder}.made").touch()
    return folder


def run_in_root(*arguments: Any, **overrides: Any) -> None:
    """Run a workflow from the root of the bundle before any test has begun."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run(*arguments, **overrides)


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    with np.load(Path(__file__).parent / "recorded" / "golden.npz") as file:
        arrays = dict(file)
    shape = arrays.pop("test/masks_shape")
    masks = np.unpackbits(arrays.pop("test/masks"))[: np.prod(shape)].reshape(shape).astype(bool)
    return {name: torch.from_numpy(np.array(array)) for name, array in {**arrays, "test/masks": masks}.items()}


@pytest.fixture(scope="session")
def golden_states(golden: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    return {
        network: {name.removeprefix(f"{network}/"): v for name, v in golden.items() if name.startswith(f"{network}/")}
        for network in ("initial", "refiner")
    }


@pytest.fixture
def golden_model(golden: dict[str, torch.Tensor], golden_states: dict) -> IterMaskNet:
    networks = {}
    for name, state in golden_states.items():
        weights, arguments = convert_reference_state(state)
        networks[name] = ReconstructionUNet(**arguments)
        networks[name].load_state_dict(weights)
    model = IterMaskNet(**networks, **REFINEMENT)
    model.threshold.copy_(golden["validation/threshold"])
    return model.eval()


def make_cohort(folder: Path) -> None:
    splits = {
        "training": [write_head(folder / f"healthy_{i}", f"healthy_{i}", i) for i in range(3)],
        "validation": [write_head(folder / f"held_out_{i}", f"held_out_{i}", 10 + i) for i in range(2)],
        "test": [write_head(folder / f"patient_{i}", f"patient_{i}", 20 + i, lesion=True) for i in range(2)],
    }
    (folder / "datalist.json").write_text(json.dumps(splits))


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a datalist: three heads for training, two for validation, two with a lesion for testing."""
    return made_once("cohort", tmp_path_factory, make_cohort)


@pytest.fixture(scope="session")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a run that trained a model for a few steps and calibrated it."""
    steps = {"epochs": 3, "steps_per_epoch": 10, "val_interval": 3, "learning_rate": 0.005, "ema_momentum": 0.2}

    def train(output: Path) -> None:
        run_in_root("train", ["train"], dataset_dir=str(cohort), output_dir=str(output), **steps)

    return made_once("trained", tmp_path_factory, train)


def run_judged(kind: str, configs: list[str], cohort: Path, output: Path, **overrides: Any) -> None:
    """Run a workflow with a judge on ``cohort``."""
    run_in_root(kind, configs, dataset_dir=str(cohort), output_dir=str(output), **JUDGED, **overrides)


@pytest.fixture(scope="session")
def judged(cohort: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a run that trained a judge for the networks of ``trained`` and calibrated it."""
    steps = {"epochs": 2, "steps_per_epoch": 3, "val_interval": 1}

    def train(output: Path) -> None:
        run_judged("train", ["train", "judge"], cohort, output, pretrained=str(trained / "model.pt"), **steps)
        run_judged("infer", ["inference", "calibrate_judge"], cohort, output, ckpt_path=str(output / "model.pt"))

    return made_once("judged", tmp_path_factory, train)


@pytest.fixture(scope="session")
def judged_results(cohort: Path, judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of an evaluation of both patients of ``cohort`` by the model of ``judged``."""

    def evaluate(output: Path) -> None:
        run_judged("infer", ["inference", "evaluate"], cohort, output, ckpt_path=str(judged / "model.pt"))

    return made_once("judged_results", tmp_path_factory, evaluate)
