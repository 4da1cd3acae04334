import itk
import nibabel as nib
import numpy as np
import pytest

from bundle.data.volumes import check_same_grid, read_oriented, read_volume
from bundle.errors import InputError
from tests.heads import AFFINE, save, simulate_head

IMAGE, MASK = simulate_head(1, lesion=True)


def write_dicom(volume: np.ndarray, affine: np.ndarray, folder, series: str = "1") -> None:
    """A DICOM series with the axes of ``volume`` as they are: one file a slice of the last axis."""
    folder.mkdir(exist_ok=True)
    writer = itk.GDCMImageIO.New()
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
        itk.imwrite(image, str(folder / f"{series}_{k:03d}.dcm"), imageio=writer)


def test_a_dicom_series_is_read_as_its_nifti(tmp_path):
    write_dicom(IMAGE, AFFINE, tmp_path / "series")
    from_dicom = read_volume(tmp_path / "series")
    from_nifti = read_volume(save(IMAGE, tmp_path / "scan.nii.gz"))
    assert np.array_equal(from_dicom, from_nifti) and np.allclose(from_dicom.affine, from_nifti.affine)


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
