import itk
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.data import list_data_collate

from bundle.data.loading import LoadVolumed
from bundle.data.volumes import check_same_grid, read_oriented, read_volume
from bundle.errors import InputError
from tests.heads import AFFINE, save, simulate_head

IMAGE, MASK = simulate_head(1, lesion=True)


def write_dicom(volume: np.ndarray, affine: np.ndarray, folder, series: str = "1", packed: str = "") -> None:
    """A DICOM series with the axes of ``volume`` as they are: one file a slice of the last axis.

    ``packed`` is a way to pack pixels that GDCM knows, such as "JPEG2000".
    """
    folder.mkdir(exist_ok=True)
    writer = itk.GDCMImageIO.New()
    if packed:
        writer.SetCompressor(packed)
    writer.KeepOriginalUIDOn()
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    root = "1.2.826.0.1.3680043.2.1125"
    for k in range(volume.shape[2]):
        image = itk.image_from_array(np.ascontiguousarray(volume[:, :, k].T[None]))
        image.SetSpacing(spacing.tolist())
        image.SetDirection(itk.matrix_from_array(lps[:3, :3] / spacing))
        image.SetOrigin((lps[:3, 2] * k + lps[:3, 3]).tolist())
        tags = image.GetMetaDataDictionary()
        tags["0008|0060"] = "MR"
        tags["0020|000d"] = f"{root}.1"
        tags["0020|000e"] = f"{root}.2.{series}"
        tags["0008|0018"] = f"{root}.3.{series}.{k + 1}"
        tags["0020|0013"] = str(k + 1)
        itk.imwrite(image, str(folder / f"{series}_{k:03d}.dcm"), imageio=writer, compression=bool(packed))


def test_a_dicom_series_is_read_as_its_nifti(tmp_path):
    write_dicom(IMAGE, AFFINE, tmp_path / "series")
    from_dicom = read_volume(tmp_path / "series")
    from_nifti = read_volume(save(IMAGE, tmp_path / "scan.nii.gz"))
    assert np.array_equal(from_dicom, from_nifti) and np.allclose(from_dicom.affine, from_nifti.affine)


@pytest.mark.parametrize(
    ("packed", "syntax"), [("JPEG2000", "1.2.840.10008.1.2.4.90"), ("JPEG", "1.2.840.10008.1.2.4.70")]
)
def test_packed_pixels_are_those_of_the_scan(packed, syntax, tmp_path):
    write_dicom(IMAGE, AFFINE, tmp_path / "series", packed=packed)
    assert pydicom.dcmread(tmp_path / "series" / "1_003.dcm").file_meta.TransferSyntaxUID == syntax
    volume = read_volume(tmp_path / "series")
    assert np.array_equal(volume[0], IMAGE) and np.allclose(volume.affine, AFFINE)
    damaged = tmp_path / "series" / "1_003.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-300])
    with pytest.raises(InputError, match="series"):
        read_volume(tmp_path / "series")


def test_a_folder_with_two_series_is_refused(tmp_path):
    for series in ("1", "2"):
        write_dicom(IMAGE, AFFINE, tmp_path / "both", series)
    with pytest.raises(InputError, match="2 DICOM series"):
        read_volume(tmp_path / "both")


def test_the_affine_is_the_one_that_viewers_use(tmp_path):
    """MONAI alone would replace an affine whose voxel size is not that of the header's pixdim."""
    image = nib.Nifti1Image(IMAGE, AFFINE)
    image.header["pixdim"][1:4] = (2.0, 2.0, 2.0)
    image.header["qform_code"] = 0
    nib.save(image, tmp_path / "disagrees.nii.gz")
    assert np.allclose(read_volume(tmp_path / "disagrees.nii.gz").affine, AFFINE)


def test_where_qform_and_sform_disagree_it_is_said_which_one_was_used(tmp_path):
    image = nib.Nifti1Image(IMAGE, None)
    elsewhere = AFFINE.copy()
    elsewhere[0, 3] += 40
    image.set_sform(AFFINE, 2)
    image.set_qform(elsewhere, 1)
    nib.save(image, tmp_path / "both.nii.gz")
    volume = read_volume(tmp_path / "both.nii.gz")
    assert np.allclose(volume.affine, AFFINE)
    assert "qform and sform put the image up to 40.0 mm apart; the sform was used." in volume.meta["read_warnings"]
    # half a voxel is rounding, and without a code the sform says nothing
    image.set_qform(AFFINE + np.eye(4, k=3), 1)
    nib.save(image, tmp_path / "near.nii.gz")
    assert read_volume(tmp_path / "near.nii.gz").meta["read_warnings"] == ""
    image.set_qform(elsewhere, 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "qform.nii.gz")
    volume = read_volume(tmp_path / "qform.nii.gz")
    assert np.allclose(volume.affine, elsewhere) and volume.meta["read_warnings"] == ""


@pytest.mark.parametrize(("unit", "word", "size"), [("meter", "metres", "6000"), ("micron", "micrometres", "0.006")])
def test_other_units_than_millimetres_are_said(unit, word, size, tmp_path):
    image = nib.Nifti1Image(IMAGE, AFFINE)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    assert np.allclose(volume.affine, AFFINE)
    said = f"says that its lengths are {word} (its voxels would be {size} mm long); they were taken for millimetres."
    assert said in volume.meta["read_warnings"]


def test_voxels_without_a_size_are_refused_where_the_size_counts(tmp_path):
    image = nib.Nifti1Image(IMAGE, AFFINE)
    image.set_qform(AFFINE, 1)
    for name, sform in (("sform", 1), ("qform", 0)):
        image.header["sform_code"] = sform
        path = tmp_path / f"{name}.nii"
        nib.save(image, path)
        content = bytearray(path.read_bytes())
        content[88:92] = np.float32(0).tobytes()
        path.write_bytes(content)
    assert np.allclose(read_volume(tmp_path / "sform.nii").affine, AFFINE)
    with pytest.raises(InputError, match=r"no size of its voxels \(3 x 3 x 0 mm\); correct the header"):
        read_volume(tmp_path / "qform.nii")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_files_of_the_other_byte_order(kind, tmp_path):
    """What the header says goes through a data loader too."""
    header = kind.header_class(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(kind(IMAGE.astype(">i2"), AFFINE, header), tmp_path / "scan.nii")
    assert (tmp_path / "scan.nii").read_bytes()[:2] == b"\0\0"
    volume = read_volume(tmp_path / "scan.nii")
    assert np.array_equal(volume[0], IMAGE) and np.allclose(volume.affine, AFFINE)
    loaded = list_data_collate([{"image": volume}])["image"]
    assert torch.equal(loaded[0], volume) and int(loaded.meta["sform_code"][0]) == 2


def test_a_fourth_axis_of_length_one_is_a_volume(tmp_path):
    assert read_volume(save(IMAGE[..., None], tmp_path / "scan.nii.gz")).shape == (1, *IMAGE.shape)


def test_axes_are_turned_to_left_posterior_superior(tmp_path):
    stored = nib.Nifti1Image(IMAGE, AFFINE).as_reoriented([[1, -1], [2, 1], [0, 1]])
    turned = read_oriented(save(np.asarray(stored.dataobj), tmp_path / "turned.nii.gz", stored.affine))
    assert np.array_equal(turned[0], IMAGE) and np.allclose(turned.affine, AFFINE)


def test_half_a_voxel_is_the_same_grid(tmp_path):
    image = read_volume(save(IMAGE, tmp_path / "image.nii.gz"))
    # voxels are 3 mm wide and 6 mm high, and each axis counts for itself
    for axis, shift, same in ((0, 1.4, True), (0, 1.6, False), (2, 2.9, True), (2, 3.1, False)):
        affine = AFFINE.copy()
        affine[axis, 3] += shift
        label = read_volume(save(MASK, tmp_path / f"{shift}.nii.gz", affine), "label")
        if same:
            check_same_grid(label, "label.nii.gz", "label", image)
        else:
            with pytest.raises(InputError, match="lies elsewhere"):
                check_same_grid(label, "label.nii.gz", "label", image)


@pytest.mark.parametrize("values", [0.6 * MASK, MASK + 1e-7, -MASK.astype(np.int16)])
def test_a_label_that_was_interpolated_or_is_none_is_refused(values, tmp_path):
    """Where it is above 0 there is lesion: of an interpolated one that would be everywhere."""
    data = {"image": save(IMAGE, tmp_path / "image.nii.gz"), "label": save(values, tmp_path / "label.nii.gz")}
    with pytest.raises(InputError, match=r"label\.nii\.gz: the label has values that are no whole numbers from 0 on"):
        LoadVolumed(keys=["image", "label"])(data)
    whole = {**data, "label": save((IMAGE > 0).astype(np.uint8), tmp_path / "whole.nii.gz")}
    with pytest.raises(InputError, match=r"whole\.nii\.gz: the label marks 100 % of what the image shows"):
        LoadVolumed(keys=["image", "label"])(whole)
    turned = nib.Nifti1Image(MASK, AFFINE).as_reoriented([[1, -1], [2, 1], [0, 1]])
    nib.save(turned, tmp_path / "turned.nii.gz")
    loaded = LoadVolumed(keys=["image", "label"])({**data, "label": str(tmp_path / "turned.nii.gz")})["label"]
    assert turned.shape != MASK.shape and np.array_equal(loaded[0], MASK)
    of_three_kinds = {**data, "label": save(3 * MASK, tmp_path / "kinds.nii.gz")}
    assert np.array_equal(LoadVolumed(keys=["image", "label"])(of_three_kinds)["label"][0], 3 * MASK)
