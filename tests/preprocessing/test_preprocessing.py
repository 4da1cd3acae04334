import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, InvertibleTransform, MapTransform

from bundle.data.loading import LoadVolumed
from bundle.postprocessing.to_scan import InvertLinearlyd
from bundle.preprocessing.brain_mask import BrainMaskd
from bundle.preprocessing.intensities import BACKGROUND, ClearBackgroundd, NormalizeBrainIntensityd
from bundle.preprocessing.lesion_free_slices import LesionFreeSlicesd
from bundle.preprocessing.placing import FieldOfViewd
from tests.heads import AFFINE, save, simulate_head, write_head
from tests.limits import PLAUSIBLE

IMAGE, LESION = simulate_head(4, lesion=True)


def preprocessing(**overrides) -> Compose:
    parser = ConfigParser()
    parser.read_config("configs/inference.json")
    parser.update(overrides)
    return parser.get_parsed_content("preprocessing")


def oriented(volume: np.ndarray, axes: tuple, flips: tuple, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same volume at the same place in the world, stored with other array axes."""
    image = nib.Nifti1Image(volume, affine)
    codes = np.array([[axis, -1 if flip else 1] for axis, flip in zip(axes, flips)])
    result = image.as_reoriented(codes)
    return np.asarray(result.dataobj), result.affine


def oblique(affine: np.ndarray) -> np.ndarray:
    """Turn the world a little about all of its axes."""
    x, y, z = 0.15, -0.2, 0.1
    turn = np.eye(4)
    turn[:3, :3] = (
        np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        @ np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        @ np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    )
    return turn @ affine


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3)))


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_voxel_exact_placement_in_every_orientation(axes, flips, tmp_path):
    """With pixels of the model's size nothing is interpolated, and every voxel must come back to its own place."""
    volume, affine = oriented(IMAGE, axes, flips, oblique(AFFINE))
    transform = preprocessing(field_of_view=240, image_size=80)
    data = transform({"image": save(volume, tmp_path / "scan.nii.gz", affine)})
    assert data["image"].shape[1:3] == (80, 80) and data["image"].shape[3] == IMAGE.shape[2]
    level = 120 / data["image"].meta["intensity_high"] * 6 - 3
    data["pred"] = (data["image"] > level).float()
    back = InvertLinearlyd(keys="pred", orig_keys="image", transform=transform, nearest_interp=False)(data)["pred"]
    assert np.array_equal(np.asarray(back[0]), (volume > 120).astype(np.float32))
    assert np.allclose(back.affine, affine)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (0.5, 2.0, 3.0), (4.0, 1.3, 1.0)])
def test_placement_with_anisotropic_voxels(spacing, tmp_path):
    """Through the model's pixels and back, a ball stays where it is within a fraction of a voxel."""
    shape = [round(150 / mm) for mm in spacing]
    affine = oblique(np.diag([-spacing[0], spacing[1], -spacing[2], 1.0]))
    places = np.stack(np.meshgrid(*[np.arange(size) * mm for size, mm in zip(shape, spacing)], indexing="ij"))
    brain = ((places - 75) ** 2).sum(axis=0) < 70**2
    ball = ((places - np.array([60, 85, 70]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 25**2
    transform = preprocessing()
    texture = np.random.RandomState(0).randint(-15, 15, shape)
    path = save(np.where(brain, 100 + 100 * ball + texture, 0).astype(np.int16), tmp_path / "scan.nii.gz", affine)
    data = transform({"image": path})
    data["pred"] = (data["image"] > 150 / data["image"].meta["intensity_high"] * 6 - 3).float()
    back = InvertLinearlyd(keys="pred", orig_keys="image", transform=transform, nearest_interp=False)(data)["pred"]
    found = np.asarray(back[0]) > 0.5
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.95
    shift = [(np.argwhere(found).mean(axis=0) - np.argwhere(ball).mean(axis=0))[i] * spacing[i] for i in range(3)]
    assert np.abs(shift).max() < 0.5


def test_inverting_leaves_the_image_as_it_was(tmp_path):
    transform = preprocessing()
    data = transform({"image": save(IMAGE, tmp_path / "scan.nii.gz")})
    operations = data["image"].applied_operations
    data["pred"] = data["image"].clone()
    after = InvertLinearlyd(keys="pred", orig_keys="image", transform=transform, nearest_interp=False)(data)
    assert after["image"] is data["image"] and after["image"].applied_operations == operations


class Watch(MapTransform, InvertibleTransform):
    """Changes nothing; notes, while it is inverted, whether other transforms would let keys be missing."""

    def __call__(self, data):
        return data

    def inverse(self, data):
        self.seen.extend(one.allow_missing_keys for one in self.watched)
        return data


def test_inverting_leaves_the_transforms_of_other_threads_alone(tmp_path):
    """A thread that inverts must not switch what another one is in the middle of using."""
    transform, watch = preprocessing(), Watch(keys="image")
    watch.watched, watch.seen = [one for one in transform.transforms if isinstance(one, MapTransform)], []
    both = Compose([*transform.transforms, watch])
    data = both({"image": save(IMAGE, tmp_path / "scan.nii.gz")})
    data["pred"] = data["image"].clone()
    InvertLinearlyd(keys="pred", orig_keys="image", transform=both, nearest_interp=False)(data)
    assert watch.seen == [False] * len(watch.watched) and len(watch.seen) > 5


def test_intensities_follow_the_paper(tmp_path):
    data = {"image": save(IMAGE, tmp_path / "scan.nii.gz")}
    data = NormalizeBrainIntensityd(keys="image", percentile=90)(
        BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(LoadVolumed(keys="image")(data))
    )
    high = np.percentile(IMAGE[IMAGE > 0], 90)
    assert np.allclose(data["image"][0], (IMAGE - high / 2) / high * 6, atol=1e-4)
    assert (data["image"][0][torch.as_tensor(IMAGE == 0)] == BACKGROUND).all()
    assert data["image"].max() > 3


def test_background_is_exact_and_brain_never_has_it(tmp_path):
    """A given brain mask may hold voxels of value zero or below; they are brain all the same."""
    image = IMAGE.astype(np.float32)
    image[28, 32, 6], image[28, 33, 6] = 0, -50
    mask = save((IMAGE > 0).astype(np.uint8), tmp_path / "mask.nii.gz")
    data = preprocessing(field_of_view=240, image_size=80)(
        {"image": save(image, tmp_path / "s.nii.gz"), "brain_mask": mask}
    )
    assert int((data["image"] > BACKGROUND).sum()) == int((IMAGE > 0).sum())
    assert float(data["image"].min()) == BACKGROUND


def test_a_head_with_its_brain_mask_gives_what_the_stripped_head_gives(tmp_path):
    """Also where pixels are averaged: the skull must not bleed into the rim of the brain."""
    head = np.where(IMAGE > 0, IMAGE, np.random.RandomState(0).randint(150, 300, IMAGE.shape)).astype(np.int16)
    entry = {
        "image": save(head, tmp_path / "head.nii.gz"),
        "brain_mask": save((IMAGE > 0).astype(np.uint8), tmp_path / "mask.nii.gz"),
    }
    transform = preprocessing(image_size=64)
    stripped = transform({"image": save(IMAGE, tmp_path / "stripped.nii.gz")})["image"]
    assert torch.equal(transform(entry)["image"], stripped)


def test_field_of_view_is_centred_on_the_brain(tmp_path):
    """A brain at the edge of the scan is neither cut nor left at the edge."""
    moved = np.roll(np.pad(IMAGE, ((0, 60), (0, 0), (0, 0))), 60, axis=0)
    data = BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(
        LoadVolumed(keys="image")({"image": save(moved, tmp_path / "scan.nii.gz")})
    )
    data = FieldOfViewd(keys=["image", "brain_mask"], millimetres=180)(data)
    assert data["image"].shape == (1, 60, 60, IMAGE.shape[2])
    assert int((data["image"] > 0).sum()) == int((IMAGE > 0).sum())
    places = np.flatnonzero((data["image"][0] > 0).any(dim=2).any(dim=1))
    assert abs(places[0] - (59 - places[-1])) <= 1


def test_lesion_free_slices(tmp_path):
    entry = write_head(tmp_path, "patient", 4, lesion=True)
    data = BrainMaskd(keys="image", limits=PLAUSIBLE, skull_strip="never")(LoadVolumed(keys=["image", "label"])(entry))
    lesion = np.flatnonzero(LESION.any(axis=(0, 1)))
    area = (IMAGE > 0).sum(axis=(0, 1))
    for margin in (0, 2):
        wanted = [z for z in range(IMAGE.shape[2]) if abs(lesion - z).min() > margin and area[z] > 0.3 * area.max()]
        kept = LesionFreeSlicesd(keys="image", margin=margin, smallest_brain=0.3)(data)["image"]
        assert np.array_equal(kept[0], IMAGE[:, :, wanted])
    assert len(wanted) > 0


def test_slices_are_counted_as_in_the_scan():
    """Also where empty slices below the brain were cut away."""
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (7, 2)))
    scan = MetaTensor(torch.as_tensor(padded[None].copy()), affine=AFFINE)
    data = {"image": scan, "brain_mask": scan > 0}
    data = FieldOfViewd(keys=["image", "brain_mask"], millimetres=300)(data)
    kept = LesionFreeSlicesd(keys=["image", "brain_mask"], margin=2, smallest_brain=0, slices=(12, 14))(data)["image"]
    assert kept.shape[-1] == 3 and kept.shape[1] >= IMAGE.shape[0]
    assert [float(part.sum()) for part in kept[0].unbind(-1)] == pytest.approx(
        [float(padded[..., z].sum()) for z in (12, 13, 14)]
    )


def test_clearing_the_background_clips_nothing_else():
    image = torch.tensor([[[-5.0, 1.0], [9.0, 2.0]]])
    mask = torch.tensor([[[1, 1], [1, 0]]])
    data = ClearBackgroundd(keys="image")({"image": image, "brain_mask": mask_tensor(mask)})
    assert torch.allclose(data["image"], torch.tensor([[[-2.999, 1.0], [9.0, -3.0]]]))


def mask_tensor(mask: torch.Tensor) -> MetaTensor:
    return MetaTensor(mask)
