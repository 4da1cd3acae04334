"""What is taken for a brain: given masks of all kinds, implausible scans, and what interpolation leaves around."""

import numpy as np
import pytest
from scipy import ndimage

from bundle.data.loading import LoadVolumed
from bundle.errors import InputError
from bundle.preprocessing.brain_mask import SKULL_ON, BrainMaskd
from tests import heads
from tests.heads import SHAPE, save, simulate_head
from tests.limits import PLAUSIBLE

# of about a litre
AFFINE = heads.AFFINE @ np.diag([1.1, 1.1, 1.1, 1])
IMAGE, _ = simulate_head(0)
# with air around it
BRAIN = np.pad(IMAGE > 0, ((0, 0), (0, 0), (2, 2)))
SCAN = np.pad(IMAGE, ((0, 0), (0, 0), (2, 2)))


def load(folder, image=SCAN, mask=None, affine=AFFINE, mask_affine=None):
    data = {"image": save(image, folder / "image.nii.gz", affine)}
    if mask is not None:
        data["brain_mask"] = save(mask, folder / "mask.nii.gz", affine if mask_affine is None else mask_affine)
    return BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(LoadVolumed(keys="image")(data))


def said(folder, **options) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and ";" in text
    return text


def head() -> np.ndarray:
    """The brain with air around it that is not zero."""
    return np.where(BRAIN, SCAN, np.random.RandomState(1).randint(1, 9, SCAN.shape)).astype(np.int16)


@pytest.mark.parametrize(
    "mask",
    [
        BRAIN.astype(np.uint8),
        255 * BRAIN.astype(np.uint8),
        BRAIN + np.random.RandomState(0).uniform(1e-9, 1e-6, BRAIN.shape).astype(np.float32),
        np.where(BRAIN, 0.9, 0.2).astype(np.float32),
        (1000 * np.where(BRAIN, 1.04, -0.04)).astype(np.int16),
    ],
)
def test_masks_are_cut_at_half_of_their_range(mask, tmp_path):
    data = load(tmp_path, head(), mask)
    assert np.array_equal(data["brain_mask"][0], BRAIN) and data["warnings"] == ""


def test_a_smooth_mask_is_cut_where_the_brain_ends(tmp_path):
    smooth = ndimage.gaussian_filter(BRAIN.astype(np.float32), 0.7)
    found = np.asarray(load(tmp_path, head(), smooth)["brain_mask"][0])
    assert 2 * (found & BRAIN).sum() / (found.sum() + BRAIN.sum()) > 0.98


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_a_mask_whose_axes_differ_is_turned(axes, flips, tmp_path):
    affine = AFFINE[:, [*axes, 3]].copy()
    mask = BRAIN.transpose(axes).astype(np.uint8)
    # not symmetric, so that a wrong turn shows
    mask[tuple(slice(0, size // 2) if axes[i] == 1 else slice(None) for i, size in enumerate(mask.shape))] = 0
    wanted = BRAIN.copy()
    wanted[:, : SHAPE[1] // 2] = False
    for axis in flips:
        mask = np.flip(mask, axis)
        affine[:3, 3] += affine[:3, axis] * (mask.shape[axis] - 1)
        affine[:3, axis] *= -1
    found = load(tmp_path, head(), mask, mask_affine=affine)["brain_mask"]
    assert np.array_equal(found[0], wanted)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones(SCAN.shape, np.uint8), "everything, or the inverse"),
        ((~BRAIN).astype(np.uint8), "everything, or the inverse"),
        (np.where(BRAIN, 1 + np.indices(SCAN.shape)[0] // 10, 0).astype(np.int16), "label map"),
        (
            np.where(BRAIN, np.linspace(20, 200, SHAPE[1])[:, None] + SCAN % 40, 0).astype(np.int16),
            "label map or a scan",
        ),
        (np.roll(BRAIN, 24, axis=0).astype(np.uint8), "shows nothing in"),
        (np.zeros(SCAN.shape, np.uint8), "voxels of brain"),
    ],
)
def test_masks_of_something_else_are_refused(mask, words, tmp_path):
    assert words in said(tmp_path, mask=mask)


def test_a_mask_that_lies_aside_is_said(tmp_path):
    assert "no tissue in" in load(tmp_path, head(), np.roll(BRAIN, 9, axis=0).astype(np.uint8))["warnings"]


@pytest.mark.parametrize(("scale", "unit"), [(0.001, "metres"), (0.1, "centimetres"), (1000, "micrometres")])
def test_a_brain_of_an_impossible_size(scale, unit, tmp_path):
    text = said(tmp_path, affine=AFFINE @ np.diag([scale, scale, scale, 1]))
    assert unit in text and "mm long" in text


def test_a_small_brain_is_said(tmp_path):
    assert "those of adults have 900 to 2000" in load(tmp_path, affine=AFFINE @ np.diag([0.7, 0.7, 0.7, 1]))["warnings"]
    assert load(tmp_path)["warnings"] == ""


def test_one_slice_is_a_scan(tmp_path):
    fine = ndimage.zoom(IMAGE[:, :, 6].astype(np.float32), 2, order=1)[..., None].astype(np.int16)
    data = load(tmp_path, fine, affine=AFFINE @ np.diag([0.5, 0.5, 1, 1]))
    assert data["brain_mask"].shape == (1, *fine.shape) and "a part of it" in data["warnings"]


def test_label_maps_are_no_scans(tmp_path):
    few = np.where(BRAIN, np.random.RandomState(0).choice([3, 41, 77], SCAN.shape), 0).astype(np.int16)
    assert "3 different values" in said(tmp_path, image=few)
    parcels = np.indices(SCAN.shape) // np.array([7, 8, 4]).reshape(3, 1, 1, 1)
    many = np.where(BRAIN, 1000 + parcels[0] + 10 * parcels[1] + 100 * parcels[2], 0).astype(np.int16)
    assert len(np.unique(many)) > 50 and "label map" in said(tmp_path, image=many)
    coarse = np.where(BRAIN, SCAN // 12 * 12 + 1, 0).astype(np.int16)
    assert "different values" in said(tmp_path, image=coarse)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_tiny_values_around_a_brain_are_no_brain(order, tmp_path):
    turned = ndimage.rotate(SCAN.astype(np.float32), 8, axes=(0, 1), reshape=False, order=order)
    brain = ndimage.rotate(BRAIN.astype(np.float32), 8, axes=(0, 1), reshape=False, order=1) > 0.5
    data = load(tmp_path, turned)
    found = np.asarray(data["brain_mask"][0])
    assert (turned > 0).sum() > 1.2 * brain.sum() and "Tiny values" in data["warnings"]
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.95


def test_one_bright_spike_makes_no_other_voxel_tiny(tmp_path):
    image = SCAN.astype(np.float32)
    image[28, 32, 6] = 1e6
    assert np.array_equal(load(tmp_path, image)["brain_mask"][0], BRAIN)


def test_dark_voxels_of_a_clean_brain_stay_brain(tmp_path):
    """Liquor is dark in FLAIR: without ringing, every voxel above zero is brain."""
    image = SCAN.copy()
    image[20:30, 25:32, 6] = 1
    data = load(tmp_path, image)
    assert np.array_equal(data["brain_mask"][0], image > 0) and data["warnings"] == ""


def test_a_skull_is_known_by_its_ring(tmp_path):
    """A head with air of zero and less than 2500 ml: bright skin, a dark skull, the brain."""
    x, y, z = (np.linspace(-1, 1, size) for size in (70, 80, 34))
    radius = np.sqrt((x[:, None, None] / 0.9) ** 2 + (y[:, None] / 0.9) ** 2 + (z / 0.95) ** 2)
    noise = np.random.RandomState(0).randint(0, 20, radius.shape)
    image = np.select([radius < 0.8, radius < 0.92, radius < 1], [100 + noise, 10 + noise, 150 + noise], 0)
    affine = AFFINE @ np.diag([2.4 / 3, 2.4 / 3, 4.5 / 6, 1])
    data = load(tmp_path, image.astype(np.int16), affine=affine)
    assert int(data["brain_mask"].meta[SKULL_ON]) == 1 and "dark ring" in data["warnings"]
    stripped = load(tmp_path, np.where(radius < 0.8, image, 0).astype(np.int16), affine=affine)
    assert int(stripped["brain_mask"].meta[SKULL_ON]) == 0


def warnings_of(image, folder):
    return load(folder, np.asarray(image, np.float32))["warnings"]


def test_noise_and_a_flat_brain_are_said(tmp_path):
    random = np.random.RandomState(0)
    assert "noise" in warnings_of(np.where(BRAIN, random.normal(100, 10, BRAIN.shape), 0), tmp_path)
    flat = np.where(BRAIN, 100 + 1e-4 * SCAN, 0).astype(np.float32)
    assert "nearly the same intensity" in warnings_of(flat, tmp_path)
    spike = np.where(BRAIN, SCAN, 0).astype(np.float32)
    spike[28, 32, 6] = 1e30
    assert "noise" not in warnings_of(spike, tmp_path)


@pytest.mark.parametrize("constant", [10, 60, 1000])
def test_a_constant_that_was_added_is_refused_and_not_taken_for_a_head(constant, tmp_path):
    text = said(tmp_path, image=SCAN + constant)
    assert f"is {constant} and not 0: a constant was added" in text


@pytest.mark.parametrize(("axis", "number"), [(2, 6), (0, 40)])
def test_slices_that_show_nothing_are_said(axis, number, tmp_path):
    image = SCAN.copy()
    np.moveaxis(image, axis, 0)[number] = 0
    warnings = load(tmp_path, image)["warnings"]
    assert f"nothing in 1 slices between others (axis {axis + 1}, counted from 0: {number})" in warnings
    assert "between others" not in load(tmp_path)["warnings"]


def test_a_zero_that_was_shifted_is_said(tmp_path):
    scan = np.where(BRAIN, SCAN, 0).astype(np.float32)
    standardised = (scan - scan.mean()) / scan.std()
    assert "z-scores" in warnings_of(standardised, tmp_path)
    for filling in (-1, -1000):
        assert "z-scores" not in warnings_of(np.where(BRAIN, scan, filling), tmp_path)


def test_intensities_that_were_cut_off_or_wrapped_are_said(tmp_path):
    scan = np.where(BRAIN, SCAN, 0).astype(float)
    assert warnings_of(scan, tmp_path) == ""
    values = scan[BRAIN]
    for share, is_said in ((99.5, False), (90, True)):
        cut = np.minimum(scan, np.percentile(values, share))
        assert ("the highest of all intensities" in warnings_of(cut, tmp_path)) is is_said
    wrapped = np.where(BRAIN, (scan / np.percentile(values, 60) * 255).astype(int) % 256, 0)
    assert "begin anew at zero" in warnings_of(wrapped, tmp_path)
    assert "nearly the same intensity" in warnings_of(np.where(BRAIN, scan + 1000, 0), tmp_path)


def test_what_was_cut_out_of_a_brain_is_said(tmp_path):
    hole = np.zeros_like(BRAIN)
    hole[20:36, 24:40, 6:10] = True
    assert "holes of" in warnings_of(np.where(hole, 0, np.where(BRAIN, SCAN, 0)), tmp_path)
    assert "holes of" in load(tmp_path, mask=(BRAIN & ~hole).astype(np.uint8))["warnings"]
    small = np.zeros_like(BRAIN)
    small[26:30, 30:34, 7:9] = True
    assert "holes" not in load(tmp_path, mask=(BRAIN & ~small).astype(np.uint8))["warnings"]


def test_a_mask_that_does_not_fit_its_head_is_said(tmp_path):
    """Brain, dark skull and bright skin: the mask is turned, shifted, or of another size."""
    depth = ndimage.distance_transform_edt(~BRAIN, sampling=(3.3, 3.3, 6.6))
    noise = np.random.RandomState(0).randint(0, 20, SCAN.shape)
    head = np.select([BRAIN, depth < 8, depth < 20], [SCAN, 10 + noise, 150 + noise], 0).astype(np.int16)

    def fits(mask) -> bool:
        return "may not fit" not in load(tmp_path, head, mask=np.asarray(mask, np.uint8))["warnings"]

    assert fits(BRAIN) and fits(np.roll(BRAIN, 1, 0)) and fits(depth < 4)
    assert not fits(np.roll(BRAIN, 7, 0)) and not fits(np.roll(BRAIN, 7, 1))
    assert not fits(depth < 16) and not fits(ndimage.binary_erosion(BRAIN, iterations=2))
    # stripped, there is nothing around the brain
    stripped = load(tmp_path, np.where(BRAIN, SCAN, 0).astype(np.int16), mask=BRAIN.astype(np.uint8))
    assert stripped["warnings"] == ""


def test_a_brain_without_an_inside(tmp_path):
    shell = np.where(ndimage.binary_erosion(BRAIN, iterations=3), 0, np.where(BRAIN, SCAN, 0))
    assert "ml" in warnings_of(shell, tmp_path)


def test_voxels_of_an_unusual_size_are_said(tmp_path):
    thick = load(tmp_path, np.where(BRAIN, SCAN, 0)[:, :, ::4], affine=AFFINE @ np.diag([1, 1, 4, 1]))
    assert "3.3 x 3.3 x 26.4 mm" in thick["warnings"]
