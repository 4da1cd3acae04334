"""The results of a run over two heads, one of them stored oblique with its axes swapped and flipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run_in_root
from tests.flows import JUDGED
from tests.heads import save, simulate_head
from tests.interaction.conftest import TINY, head, tiny_weights
from tests.review.serving import Served, serving

__all__ = ["head", "tiny_weights"]


@pytest.fixture(scope="session")
def run_of_two(head: dict, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    shutil.copy(head["turned"], folder / "turned.nii.gz")
    save(simulate_head(4, lesion=True)[0], folder / "upright.nii.gz")
    output = tmp_path_factory.mktemp("results")
    options = {**JUDGED, **TINY, "ckpt_path": str(tiny_weights), "progress": False}
    run_in_root("infer", ["inference"], image=str(folder), output_dir=str(output), **options)
    return output


@pytest.fixture
def results(run_of_two: Path, tmp_path: Path) -> Path:
    """A copy that a test may review."""
    return Path(shutil.copytree(run_of_two, tmp_path / "results"))


@pytest.fixture
def served(results: Path, tiny_weights: Path) -> Iterator[Served]:
    with serving(results, tiny_weights) as started:
        yield started
