"""A DICOM folder gives the one volume that it holds, voxel for voxel, or a sentence that says what is wrong with it."""

import os
import shutil

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from bundle.data.volumes import read_volume
from bundle.errors import InputError
from tests.dicom import write_frames, write_series
from tests.heads import AFFINE, SHAPE, simulate_head

IMAGE, _ = simulate_head(1)
STEP = AFFINE[:3, 2]


def said(folder, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(folder, **options)
    return str(caught.value)


def assert_is_the_scan(volume, affine=AFFINE, image=IMAGE):
    assert np.array_equal(volume[0], image) and np.allclose(volume.affine, affine, atol=1e-4)


def coronal():
    """Three coronal slices through the head, and where they lie."""
    affine = AFFINE[:, [0, 2, 1, 3]].copy()
    affine[:3, 3] = (AFFINE @ [0, 30, 0, 1])[:3]
    return np.ascontiguousarray(IMAGE.transpose(0, 2, 1)[:, :, 30:33]), affine


def test_a_series_is_read_whatever_its_files_are_called(tmp_path):
    paths = write_series(IMAGE, AFFINE, tmp_path / "s")
    for path, name in zip(paths, np.random.RandomState(0).permutation(len(paths))):
        path.rename(path.with_name(f"IM{name}"))
    assert_is_the_scan(read_volume(tmp_path / "s"))


def test_oblique_and_descending_series(tmp_path):
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    write_series(IMAGE, turn @ AFFINE, tmp_path / "oblique")
    assert_is_the_scan(read_volume(tmp_path / "oblique"), turn @ AFFINE)
    down = AFFINE @ np.diag([1, 1, -1, 1])
    down[:3, 3] = (AFFINE @ [0, 0, SHAPE[2] - 1, 1])[:3]
    write_series(np.ascontiguousarray(IMAGE[:, :, ::-1]), down, tmp_path / "down")
    assert_is_the_scan(read_volume(tmp_path / "down"))


def test_a_localizer_in_the_folder_is_left_aside_and_said(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s")
    write_series(*coronal(), tmp_path / "s", start=100)
    volume = read_volume(tmp_path / "s")
    assert_is_the_scan(volume)
    assert "left aside" in volume.meta["read_warnings"] and "3 coronal slices" in volume.meta["read_warnings"]


@pytest.mark.parametrize(
    "tags",
    [
        ({"EchoTime": 30.0}, {"EchoTime": 90.0}),
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
        ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
        ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}),
        ({}, {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}),
        ({"FrameOfReferenceUID": "1.2.3"}, {"FrameOfReferenceUID": "1.2.4"}),
        ({"PatientID": "Ann"}, {"PatientID": "Ben"}),
        ({"StudyInstanceUID": "1.2.3"}, {"StudyInstanceUID": "1.2.4"}),
        ({}, {"ContrastBolusAgent": "gadolinium"}),
    ],
)
def test_two_volumes_in_one_series_are_never_mixed(tags, tmp_path):
    for i in range(2):
        write_series(IMAGE * (1 + i), AFFINE, tmp_path / "s", start=1 + 50 * i, **tags[i])
    text = said(tmp_path / "s")
    assert "2 DICOM series" in text and "--series" in text and "12 axial slices" in text and "Ann" not in text
    assert_is_the_scan(read_volume(tmp_path / "s", series="2"), image=2 * IMAGE)


def test_slices_of_two_persons_never_make_one_volume(tmp_path):
    """Without UIDs, and one between the slices of the other, so that steps are equal."""
    between = AFFINE.copy()
    between[2, 3] += AFFINE[2, 2] / 2
    bare = {"SeriesInstanceUID": None, "StudyInstanceUID": None}
    write_series(IMAGE, AFFINE, tmp_path / "s", PatientID="1", **bare)
    write_series(IMAGE, between, tmp_path / "s", start=100, PatientID="2", **bare)
    assert "person 1" in said(tmp_path / "s") and "person 2" in said(tmp_path / "s")
    assert_is_the_scan(read_volume(tmp_path / "s", series="1"))


def test_a_number_of_the_series_that_is_none(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s")
    for path in (tmp_path / "s").iterdir():
        file = pydicom.dcmread(path)
        file["SeriesNumber"] = pydicom.DataElement("SeriesNumber", "LO", "three")
        file.save_as(path)
    assert_is_the_scan(read_volume(tmp_path / "s"))


def test_series_are_chosen_by_number_uid_or_description(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "study" / "a", "3", SeriesDescription="AX FLAIR")
    write_series(2 * IMAGE, AFFINE, tmp_path / "study" / "b", "7", SeriesDescription="AX T1")
    text = said(tmp_path / "study")
    assert "1: AX FLAIR (series 3, 12 axial" in text and "2: AX T1 (series 7" in text
    for series in ("1", "ax flair", "flair", "1.2.826.0.1.3680043.2.1125.2.3"):
        assert_is_the_scan(read_volume(tmp_path / "study", series=series))
    for series in ("2", "AX T1", "1.2.826.0.1.3680043.2.1125.2.7"):
        assert_is_the_scan(read_volume(tmp_path / "study", series=series), image=2 * IMAGE)
    assert 'no series "T2"' in said(tmp_path / "study", series="T2") and "2 DICOM" in said(
        tmp_path / "study", series="ax"
    )


def test_missing_slices(tmp_path):
    paths = write_series(IMAGE, AFFINE, tmp_path / "s")
    for path in paths[5:7]:
        path.unlink()
    text = said(tmp_path / "s")
    assert "1_005.dcm (instance 5) and 1_008.dcm (instance 8) lie 18.00 mm" in text and "2 slices are missing" in text


def test_slices_that_the_series_announces_are_missed(tmp_path):
    for path in write_series(IMAGE, AFFINE, tmp_path / "s", ImagesInAcquisition=SHAPE[2])[:3]:
        path.unlink()
    assert "says that it has 12" in read_volume(tmp_path / "s").meta["read_warnings"]


def test_uneven_slices_and_one_that_lies_aside(tmp_path):
    start = np.diag([-1, -1, 1]) @ AFFINE[:3, 3]
    step = np.diag([-1, -1, 1]) @ STEP

    def moved(k, vector):
        return {"ImagePositionPatient": (start + step * k + vector).tolist()}

    write_series(IMAGE, AFFINE, tmp_path / "up", per_slice=lambda k: moved(k, [0, 0, 1.5 * (k == 6)]))
    assert "the distances are uneven" in said(tmp_path / "up")
    write_series(IMAGE, AFFINE, tmp_path / "aside", per_slice=lambda k: moved(k, [51 * (k == 11), 0, 0]))
    assert "1_012.dcm (instance 12) lies 51.0 mm aside" in said(tmp_path / "aside")
    write_series(IMAGE, AFFINE, tmp_path / "rounded", per_slice=lambda k: moved(k, [0, 0, 0.01 * (k % 2)]))
    rounded = read_volume(tmp_path / "rounded")
    assert np.array_equal(rounded[0], IMAGE) and np.allclose(rounded.affine, AFFINE, atol=2e-3)


def test_the_tilt_of_a_gantry_stays_in_the_affine(tmp_path):
    sheared = AFFINE.copy()
    sheared[1, 2] = 1.6
    start, step = (np.diag([-1, -1, 1]) @ sheared[:3, column] for column in (3, 2))
    write_series(
        IMAGE, AFFINE, tmp_path / "s", per_slice=lambda k: {"ImagePositionPatient": (start + step * k).tolist()}
    )
    volume = read_volume(tmp_path / "s")
    assert_is_the_scan(volume, sheared)
    assert "shifted by 1.60 mm" in volume.meta["read_warnings"]


def test_copies_are_left_out_and_others_at_one_place_refused(tmp_path):
    paths = write_series(IMAGE, AFFINE, tmp_path / "s")
    shutil.copy(paths[4], tmp_path / "s" / "copy.dcm")
    volume = read_volume(tmp_path / "s")
    assert_is_the_scan(volume)
    assert "1 files are copies" in volume.meta["read_warnings"]
    write_series(IMAGE[:, :, :1], AFFINE, tmp_path / "s", start=99)
    assert "lie at the same place" in said(tmp_path / "s")


def test_slices_without_place_or_size(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "place", ImagePositionPatient=None)
    assert "has no position in space" in said(tmp_path / "place")
    write_series(IMAGE, AFFINE, tmp_path / "size", PixelSpacing=None)
    assert "does not say the size of its pixels" in said(tmp_path / "size")
    write_series(IMAGE, AFFINE, tmp_path / "huge", PixelSpacing=[3000.0, 3000.0])
    assert "3000 x 3000 mm" in said(tmp_path / "huge")
    write_series(IMAGE, AFFINE, tmp_path / "turned", ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    assert "not at right angles" in said(tmp_path / "turned")


def test_a_file_of_one_slice_lies_where_it_says_and_is_as_thick(tmp_path):
    paths = write_series(IMAGE, AFFINE, tmp_path / "s")
    assert "more lie beside it" in said(paths[5])
    moved = AFFINE.copy()
    moved[:3, 3] = (AFFINE @ [0, 0, 5, 1])[:3]
    volume = read_volume(paths[5].rename(tmp_path / "alone.dcm"))
    assert np.array_equal(volume[0, :, :, 0], IMAGE[:, :, 5]) and np.allclose(volume.affine, moved, atol=1e-4)
    alone = write_series(IMAGE[:, :, :1], AFFINE, tmp_path / "bare", SliceThickness=None)
    assert "has no position or thickness" in said(alone[0])


def test_tiled_slices_are_refused(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert "MOSAIC" in said(tmp_path / "s")


def test_slices_that_fan_out_are_no_volume(tmp_path):
    def turned(k):
        return {"ImageOrientationPatient": [1, 0, 0, 0, float(np.cos(0.05 * k)), float(np.sin(0.05 * k))]}

    write_series(IMAGE, AFFINE, tmp_path / "s", per_slice=turned)
    assert "12 DICOM series" in said(tmp_path / "s")


def test_a_file_that_is_cut_short_is_named(tmp_path):
    path = write_series(IMAGE, AFFINE, tmp_path / "s")[3]
    path.write_bytes(path.read_bytes()[:-700])
    text = said(tmp_path / "s")
    assert str(path) in text and "cut short" in text
    write_series(IMAGE, AFFINE, tmp_path / "long", Rows=10)
    assert "where its header tells of" in said(tmp_path / "long")


def test_files_that_are_no_images_do_no_harm(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s")
    (tmp_path / "s" / "README").write_text("no image")
    (tmp_path / "s" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    volume = read_volume(tmp_path / "s")
    assert_is_the_scan(volume)
    assert volume.meta["read_warnings"].endswith(
        "1 files are no images of grey values and were left out, such as README."
    )
    (tmp_path / "empty").mkdir()
    assert "no DICOM image" in said(tmp_path / "empty")


def test_a_mask_as_dicom_is_not_taken_for_the_scan(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s")
    path = write_frames(IMAGE > 150, AFFINE, tmp_path / "s" / "mask.dcm")
    file = pydicom.dcmread(path)
    file.Modality, file.SeriesInstanceUID = "SEG", "1.2.3"
    file.save_as(path)
    assert_is_the_scan(read_volume(tmp_path / "s"))


def test_files_that_begin_with_their_first_tag(tmp_path):
    for path in write_series(IMAGE, AFFINE, tmp_path / "s"):
        path.write_bytes(path.read_bytes()[132:])
    assert_is_the_scan(read_volume(tmp_path / "s"))


def test_pipes_are_not_waited_for(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s")
    os.mkfifo(tmp_path / "s" / "pipe")
    assert_is_the_scan(read_volume(tmp_path / "s"))
    assert "a pipe or a device" in said(tmp_path / "s" / "pipe")


@pytest.mark.parametrize("order", [None, [*range(0, 12, 2), *range(1, 12, 2)], list(range(11, -1, -1))])
def test_files_of_many_frames_in_any_order(order, tmp_path):
    assert_is_the_scan(read_volume(write_frames(IMAGE, AFFINE, tmp_path / "frames.dcm", order)))


def test_many_frames_with_a_gap_or_twice_at_one_place(tmp_path):
    gap = write_frames(IMAGE, AFFINE, tmp_path / "gap.dcm", [0, 1, 2, 3, 5, 6, 7])
    assert "between frame 4 of gap.dcm and frame 5" in said(gap) and "1 slices are missing" in said(gap)
    twice = write_frames(IMAGE, AFFINE, tmp_path / "twice.dcm", [*range(12), *range(12)])
    assert "lie at the same place" in said(twice)
    file = pydicom.dcmread(gap)
    del file.PerFrameFunctionalGroupsSequence
    file.save_as(gap)
    assert "gap.dcm has many frames and does not say where they lie" in said(gap)


def test_other_modalities_are_said(tmp_path):
    write_series(IMAGE, AFFINE, tmp_path / "s", Modality="CT")
    assert "CT and not MR" in read_volume(tmp_path / "s").meta["read_warnings"]
    write_series(IMAGE, AFFINE, tmp_path / "phase", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    write_series(IMAGE, AFFINE, tmp_path / "adc", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"])
    write_series(IMAGE, AFFINE, tmp_path / "one word", ImageType="PRIMARY")
    assert not read_volume(tmp_path / "one word").meta["read_warnings"]
    assert "the image type says P, so" in read_volume(tmp_path / "phase").meta["read_warnings"]
    assert "the image type says ADC, so" in read_volume(tmp_path / "adc").meta["read_warnings"]
    write_series(IMAGE, AFFINE, tmp_path / "inverted", PhotometricInterpretation="MONOCHROME1")
    assert "inverted" in said(tmp_path / "inverted")
    write_series(IMAGE, AFFINE, tmp_path / "colours", PhotometricInterpretation="PALETTE COLOR")
    assert "colours (PALETTE COLOR)" in said(tmp_path / "colours")


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_many_frames_of_one_scale(keyword, tmp_path):
    path = write_frames(IMAGE, AFFINE, tmp_path / "frames.dcm")
    file = pydicom.dcmread(path)
    for number, frame in enumerate(file.PerFrameFunctionalGroupsSequence):
        scale = Dataset()
        scale.RescaleSlope, scale.RescaleIntercept = 1.0, 0.0
        if number == 5:
            setattr(scale, keyword, 3.0)
        frame.PixelValueTransformationSequence = [scale]
    file.save_as(path)
    assert "the frames of frames.dcm differ in scale" in said(path)


def test_many_frames_of_one_direction(tmp_path):
    path = write_frames(IMAGE, AFFINE, tmp_path / "frames.dcm")
    file = pydicom.dcmread(path)
    turned = file.PerFrameFunctionalGroupsSequence[5].PlaneOrientationSequence[0]
    turned.ImageOrientationPatient = [*turned.ImageOrientationPatient[3:], *turned.ImageOrientationPatient[:3]]
    file.save_as(path)
    assert "frame 6 of frames.dcm is turned against the first" in said(path)
