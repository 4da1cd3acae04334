"""What several tests need: the recorded run of the authors' program, and tiny simulated heads as NIfTI files."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.checkpoint import convert_reference_state
from bundle.network import ReconstructionUNet
from bundle.refinement import IterMaskNet

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def in_bundle_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the README runs from the root of the bundle; so do the tests."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    with np.load(Path(__file__).parent / "data" / "golden.npz") as file:
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
    model = IterMaskNet(**networks)
    model.threshold.copy_(golden["validation/threshold"])
    return model.eval()


def simulate_head(seed: int, lesion: bool = False, shape: tuple[int, ...] = (56, 64, 12)) -> tuple[np.ndarray, np.ndarray]:
    """A textured ellipsoid, a head to no eye but the code's: image (0 outside) and lesion mask."""
    random = np.random.RandomState(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    brain = (x / 0.75) ** 2 + (y / 0.85) ** 2 + (z / 1.1) ** 2 < 1
    image = 100 + 20 * np.cos(6 * x + random.uniform(0, 6)) * np.cos(5 * y + 3 * z) + random.normal(0, 3, shape)
    centre = random.uniform(-0.3, 0.3, 3)
    mask = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.04) & (abs(z - centre[2]) < 0.3) & brain & lesion
    image[mask] += 90
    return np.where(brain, image, 0).astype(np.int16), mask.astype(np.uint8)


AFFINE = np.array([[-3.0, 0, 0, 84], [0, -3.0, 0, 96], [0, 0, 6.0, -36], [0, 0, 0, 1]])


def write_head(folder: Path, name: str, seed: int, lesion: bool = False, affine: np.ndarray = AFFINE) -> dict[str, str]:
    """A head as ``<name>_flair.nii.gz`` and, with a lesion, ``<name>_seg.nii.gz``; gives a datalist entry."""
    folder.mkdir(parents=True, exist_ok=True)
    image, mask = simulate_head(seed, lesion)
    entry = {"image": str(folder / f"{name}_flair.nii.gz")}
    nib.save(nib.Nifti1Image(image, affine), entry["image"])
    if lesion:
        entry["label"] = str(folder / f"{name}_seg.nii.gz")
        nib.save(nib.Nifti1Image(mask, affine), entry["label"])
    return entry
