"""A head, and a model small enough to be asked many times; its weights are random, its score follows brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.interaction import ScanState, prepare_scan
from bundle.model import IterMaskNet
from tests.flows import REFINEMENT
from tests.heads import AFFINE, save, simulate_head
from tests.networks import small_network

TINY: dict[str, Any] = {
    "image_size": 64,
    "channels": 4,
    "channel_multipliers": [1, 2],
    "attention_levels": [False, False],
    "radius": 4,
    "max_iterations": 3,
    "device": "cpu",
}


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    networks = [small_network(2, channels, attention_levels=[False, False]) for channels in (1, 2, 2)]
    model = IterMaskNet(networks[0], networks[1], judge=networks[2], **{**REFINEMENT, "radius": 4.0})
    model.threshold.fill_(1.0)
    model.lesion_threshold.fill_(0.5)
    path = tmp_path_factory.mktemp("tiny") / "tiny.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Paths of a head, of its lesion, and of the same head turned: axes swapped and flipped, oblique."""
    folder = tmp_path_factory.mktemp("head")
    image, lesion = simulate_head(3, lesion=True)
    turn = np.eye(4)
    angle = np.deg2rad(12)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    stored = nib.Nifti1Image(image, turn @ AFFINE)
    turned = stored.as_reoriented(np.array([[1, 1], [2, -1], [0, 1]]))
    nib.save(turned, folder / "turned.nii.gz")
    return {
        "image": save(image, folder / "head.nii.gz"),
        "oblique": save(image, folder / "oblique.nii.gz", turn @ AFFINE),
        "turned": str(folder / "turned.nii.gz"),
        "lesion": lesion > 0,
    }


@pytest.fixture(scope="session")
def state(head: dict[str, Any], tiny_weights: Path) -> ScanState:
    return prepare_scan(head["image"], ckpt_path=str(tiny_weights), **TINY)
