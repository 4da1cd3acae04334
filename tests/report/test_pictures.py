import numpy as np
import pytest

from bundle.report.pictures import chosen_slices, film_strip, mask_curve, montage, slice_pictures, window_of
from bundle.report.volumes import Volumes


def volumes(lesion: bool = True) -> Volumes:
    """A brain of 40 x 60 x 10 voxels of 2 x 1 x 3 mm with a lesion at its patient-left, anterior side."""
    image = np.zeros((40, 60, 10))
    image[5:35, 10:50, 1:9] = 100
    mask = np.zeros_like(image)
    if lesion:
        mask[28:32, 14:20, 4:6] = 1
    iterations = np.where(image > 0, 1, 0)
    iterations[mask > 0] = 6
    return Volumes(image, image > 0, mask, mask * 2.0, image * 0.5, iterations, None, (2.0, 1.0, 3.0))


def test_slices_that_matter():
    assert set(chosen_slices(volumes())) == {4, 5}
    assert len(chosen_slices(volumes(lesion=False))) >= 4


def test_left_is_on_the_right_and_the_nose_is_up():
    v = volumes()
    window = window_of(v)
    outlined = np.asarray(slice_pictures(v, 4, window, 2.0)["outline"]).astype(int)
    red = outlined[..., 0] - outlined[..., 1] > 60
    rows, columns = np.nonzero(red)
    assert columns.mean() > 0.6 * outlined.shape[1], "array axis 0 points to the left, which is shown on the right"
    assert rows.mean() < 0.45 * outlined.shape[0], "array axis 1 points to the back, which is shown below"
    # square millimetres: 30 x 2 mm wide and 40 x 1 mm high, with a margin of 6 mm around
    assert outlined.shape[1] / outlined.shape[0] == pytest.approx(72 / 52, rel=0.02)


def test_film_begins_with_everything_and_ends_with_the_mask():
    v = volumes()
    strip = film_strip(v, 4, window_of(v))
    assert strip[0][0] == 1 and strip[-1][0] == 6
    red = [(np.asarray(picture)[..., 0].astype(int) - np.asarray(picture)[..., 1] > 30).sum() for _, picture in strip]
    assert red[0] > 10 * red[-1] > 0


def test_curve_and_montage():
    curve = mask_curve([10.0, 4.0, 3.9])
    assert curve.mode == "RGB" and np.asarray(curve).std() > 5
    sheet = montage([[curve, curve], [curve]], gap=4)
    assert sheet.size == (2 * curve.width + 12, 2 * curve.height + 12)
