"""A file that was cut off is refused, whatever its format; nothing is filled with zeros."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest

from bundle.data.volumes import read_volume
from bundle.errors import InputError

VOXELS = np.random.RandomState(0).randint(1, 1000, (20, 24, 12)).astype(np.int16)


def write(folder: Path, ending: str) -> Path:
    """A volume as ``scan`` with an ending; gives the file that holds the voxels."""
    path = folder / f"scan{ending}"
    if ending == ".img":
        nib.save(nib.Nifti1Pair(VOXELS, np.diag([2.0, 2, 3, 1])), path)
    elif ending.lower().startswith(".nii"):
        nib.save(nib.Nifti1Image(VOXELS, np.diag([2.0, 2, 3, 1])), folder / "scan.nii.gz")
        (folder / "scan.nii.gz").rename(path)
    else:
        itk.imwrite(itk.image_from_array(VOXELS.T.copy()), str(path))
    return path


@pytest.mark.parametrize("ending", [".img", ".NII.GZ", ".nii.gz", ".nrrd", ".mha"])
def test_a_file_that_was_cut_off(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, ending)
    assert np.array_equal(np.sort(np.asarray(read_volume(path)), axis=None), np.sort(VOXELS, axis=None))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match="scan"):
        read_volume(path)
