"""What a header says of the size of a file and of its voxels is checked; nothing else is read as voxels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.data.volumes import read_volume
from bundle.errors import InputError

VOXELS = np.random.RandomState(0).randint(1, 1000, (10, 12, 6)).astype(np.int16)
RAW = VOXELS.transpose(2, 1, 0).astype("<i2").tobytes()
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 12 6\n"
    "space directions: (2,0,0) (0, 2, 0) (0,0,3)\nspace origin: (0,0,0)\nendian: little\nencoding: raw\n"
)
META = (
    "NDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 2 2 3\n"
    "DimSize = 10 12 6\nElementType = MET_SHORT\n"
)
LOCAL = "ElementDataFile = LOCAL\n"


def write(path: Path, header: str, voxels: bytes = RAW) -> Path:
    path.write_bytes(header.encode() + voxels)
    return path


def said(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path)
    return str(caught.value)


def nifti(path: Path, voxels: bytes = VOXELS.tobytes(order="F"), **fields: object) -> Path:
    """A NIfTI file with fields of the header as they are given."""
    header = nib.Nifti1Image(VOXELS, np.diag([2.0, 2, 3, 1])).header
    header["vox_offset"] = 352
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + voxels)
    return path


def test_more_voxels_than_the_header_tells_of(tmp_path: Path) -> None:
    padded = read_volume(nifti(tmp_path / "padded.nii", VOXELS.tobytes(order="F") + bytes(100)))
    assert np.array_equal(padded[0], VOXELS)
    # the type of half the size, and six slices of twelve
    assert "1440 bytes of voxels where its header tells of 720" in said(nifti(tmp_path / "type.nii", datatype=2))
    assert "header tells of" in said(nifti(tmp_path / "two.nii", 2 * VOXELS.tobytes()))
    assert "header tells of" in said(write(tmp_path / "two.nrrd", NRRD + "\n", 2 * RAW))
    assert "header tells of" in said(write(tmp_path / "two.mha", META + LOCAL, 2 * RAW))


def test_a_header_is_never_taken_for_voxels(tmp_path: Path) -> None:
    assert "begin at byte 0" in said(nifti(tmp_path / "offset.nii", vox_offset=0))
    last = NRRD + "byte skip: -1\n\nsomething before"
    assert np.array_equal(read_volume(write(tmp_path / "last.nrrd", last))[0], VOXELS)
    assert "cut short" in said(write(tmp_path / "cut.nrrd", NRRD + "byte skip: -1\n\n", RAW[:-10]))
    assert "names itself" in said(write(tmp_path / "own.mhd", META + "ElementDataFile = own.mhd\n"))


def test_no_size_of_voxels_is_made_up(tmp_path: Path) -> None:
    assert np.allclose(np.diag(read_volume(write(tmp_path / "a.nrrd", NRRD + "\n")).affine), [-2, -2, 3, 1])
    assert np.allclose(np.diag(read_volume(write(tmp_path / "a.mha", META + LOCAL)).affine), [-2, -2, 3, 1])
    bare = "NRRD0004\ntype: short\ndimension: 3\nsizes: 10 12 6\nendian: little\nencoding: raw\n"
    for name, header in {
        "none": NRRD.replace("(0,0,3)", "none") + "\n",
        "nothing": bare + "\n",
        "nan": bare + "spacings: nan nan nan\n\n",
    }.items():
        assert "no size of its voxels" in said(write(tmp_path / f"{name}.nrrd", header))
    assert "no size" in said(write(tmp_path / "no.mha", META.replace("ElementSpacing = 2 2 3\n", "") + LOCAL))


def test_two_sizes_in_one_header_are_said(tmp_path: Path) -> None:
    assert read_volume(nifti(tmp_path / "one.nii")).meta["read_warnings"] == ""
    warned = read_volume(nifti(tmp_path / "other.nii", pixdim=[1, 2, 2, 6, 0, 0, 0, 0])).meta["read_warnings"]
    assert "2 x 2 x 6 mm by its sizes (pixdim) and 2 x 2 x 3 mm by its sform; the sform was used" in warned
    warned = read_volume(nifti(tmp_path / "lost.nii", qform_code=1, qoffset_x=np.nan)).meta["read_warnings"]
    assert warned == ""


@pytest.mark.parametrize("length", [5, 100, 300])
def test_the_beginning_of_a_header(tmp_path: Path, length: int) -> None:
    path = nifti(tmp_path / "start.nii")
    path.write_bytes(path.read_bytes()[:length])
    assert "no known format" in said(path)
