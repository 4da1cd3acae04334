import numpy as np
import pytest

from bundle.report.pictures import CAPTION, film_strip, mask_curve, montage, slice_pictures
from bundle.report.shown import Shown, chosen_slices, shown


def volumes(lesion: bool = True) -> dict[str, np.ndarray]:
    """A brain of 40 x 60 x 10 voxels of 2 x 1 x 3 mm with a lesion at its patient-left, anterior side."""
    image = np.zeros((40, 60, 10))
    image[5:35, 10:50, 1:9] = 100
    mask = np.zeros_like(image)
    if lesion:
        mask[28:32, 14:20, 4:6] = 1
    iterations = np.where(image > 0, 1, 0)
    iterations[mask > 0] = 6
    return {"image": image, "mask": mask, "error": mask * 2.0, "reconstruction": image * 0.5, "iterations": iterations}


def seen(lesion: bool = True) -> Shown:
    v = volumes(lesion)
    return shown(v.__getitem__, lambda image: image > 0, (2.0, 1.0, 3.0))


def test_slices_that_matter():
    assert seen().numbers == [4, 5] and len(seen(lesion=False).numbers) >= 4
    v = volumes()
    assert chosen_slices(v["mask"] > 0, v["image"] > 0) == [4, 5]


def test_only_what_is_shown_is_kept():
    v = seen()
    # 30 x 40 voxels of brain and 6 mm around
    assert v.image.shape == (36, 52, 2) and v.mask.sum() == 48 and v.white == 100
    assert v.brightest == pytest.approx(np.percentile(volumes()["error"][volumes()["image"] > 0], 99.8))


def test_left_is_on_the_right_and_the_nose_is_up():
    outlined = np.asarray(slice_pictures(seen(), 4)["outline"]).astype(int)[CAPTION:]
    red = outlined[..., 0] - outlined[..., 1] > 60
    rows, columns = np.nonzero(red)
    assert columns.mean() > 0.6 * outlined.shape[1], "array axis 0 points to the left, which is shown on the right"
    assert rows.mean() < 0.45 * outlined.shape[0], "array axis 1 points to the back, which is shown below"
    # square millimetres: 30 x 2 mm wide and 40 x 1 mm high, with a margin of 6 mm around
    assert outlined.shape[1] / outlined.shape[0] == pytest.approx(72 / 52, rel=0.02)


def test_an_uncertain_threshold_is_outlined_at_both_ends():
    v = volumes()
    # smaller at the higher threshold; and something else in a slice without a mask
    possible = v["mask"] * 1.0
    possible[27:33, 13:21, 4:6] = 1
    possible[29:31, 16:18] = 3 * (possible[29:31, 16:18] > 0)
    possible[27:33, 20:24, 1] = 1
    doubted = shown(
        {**v, "possible_lesions": possible}.__getitem__, lambda image: image > 0, (2.0, 1.0, 3.0), uncertain=True
    )
    low, high = ((possible.astype(int) & end) > 0 for end in (1, 2))
    assert [candidate.sum() for candidate in doubted.candidates] == [low.sum(), high.sum()] and not seen().candidates
    assert 1 in doubted.numbers, "what else may be a lesion is shown"
    outlined, sure = (np.asarray(slice_pictures(case, 4)["outline"]).astype(int) for case in (doubted, seen()))
    yellow, before = ((picture[..., 1] - picture[..., 2] > 120).sum() for picture in (outlined, sure))
    assert yellow > 100 and before == 0


def test_a_scale_tells_millimetres():
    picture = np.asarray(slice_pictures(seen(), 4)["error"]).astype(int)
    # 72 mm are shown: the bar says 20 mm, drawn at the lower right
    line = picture[-9, :, :].min(axis=-1) > 150
    assert line.sum() == pytest.approx(20 / 72 * picture.shape[1], abs=3) and line[: picture.shape[1] // 2].sum() == 0
    # what is shown stands above it, right and left beside it, large enough at a width of 420 pixels
    assert (picture[:CAPTION].max(axis=-1) > 150).sum() > 100
    letters = picture[CAPTION:-60, :40].min(axis=-1) > 150
    assert np.ptp(np.nonzero(letters)[0]) * 420 / picture.shape[1] > 14


def test_film_begins_with_everything_and_ends_with_the_mask():
    strip = film_strip(seen(), 4)
    assert strip[0][0] == 1 and strip[-1][0] == 6
    red = [(np.asarray(picture)[..., 0].astype(int) - np.asarray(picture)[..., 1] > 30).sum() for _, picture in strip]
    assert red[0] > 10 * red[-1] > 0


def test_curve_and_montage():
    curve = mask_curve([10.0, 4.0, 3.9])
    assert curve.mode == "RGB" and np.asarray(curve).std() > 5
    sheet = montage([[curve, curve], [curve]], gap=4)
    assert sheet.size == (2 * curve.width + 12, 2 * curve.height + 12)


def test_errors_are_shown_relative_to_the_brightest():
    """Their unit means nothing to a reader; in the units of the model all would be nearly black, or all white."""
    v = volumes()
    v["error"] = (v["error"] + v["image"] / 100) / 100
    pictures = [
        np.asarray(slice_pictures(shown(w.__getitem__, lambda i: i > 0, (2.0, 1.0, 3.0)), 4)["error"])
        for w in (v, {**v, "error": v["error"] * 50})
    ]
    assert np.array_equal(*pictures)
