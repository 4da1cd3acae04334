import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from bundle.errors import InputError
from bundle.postprocessing.cleaning import with_high_peak, with_holes_filled, without_haze, without_small
from bundle.postprocessing.mark_lesions import POSSIBLE, MarkLesionsd, uncertain_ml
from bundle.postprocessing.volume_score import VolumeScored, smoothed_across_slices, volume_score
from bundle.postprocessing.volume_threshold import (
    edge_step,
    mean_threshold,
    nearness,
    share_of_what_is_above,
    sharpest_threshold,
    threshold_range,
)
from bundle.preprocessing.intensities import BACKGROUND

SHIPPED = json.loads(Path("configs/inference.json").read_text())["threshold_search"]
SEARCH = {name: SHIPPED[name] for name in ("ratio", "size_exponent", "fewest", "softness")}
NEAR = {name: SHIPPED[name] for name in ("share", "spread")}
DOUBT = {name: SHIPPED[name] for name in ("tail", "uncertain")}


def mark_lesions(
    smallest_share: float = 0.05,
    share_ml: float = 1e-9,
    lowest_peak: float = 0.6,
    lowest_mean: float = 0.0,
    sure_peak: float = 100.0,
    score: str = "intensity",
    peak_ml: float = 5.0,
    smallest_brain: float = 0.15,
) -> MarkLesionsd:
    search = SEARCH | NEAR | DOUBT
    return MarkLesionsd(
        "pred",
        "bright",
        score,
        0.8,
        smallest_share,
        share_ml,
        search,
        lowest_peak,
        lowest_mean,
        sure_peak,
        peak_ml,
        smallest_brain,
    )


def test_small_components_go():
    mask = np.zeros((10, 10, 4), bool)
    mask[:3, :3, :2] = mask[6, 6, 3] = True
    assert without_small(mask, 0.1).sum() == 18 and without_small(mask, 0.01).sum() == 19
    assert not without_small(np.zeros_like(mask), 0.1).any()
    # where 36 voxels would make it the whole share, of 18 a half of it is asked: 0.9 voxels
    assert without_small(mask, 0.1, 36).sum() == 19 and without_small(mask, 0.1, 18).sum() == 18


def test_what_a_lesion_encloses_in_a_slice_is_filled():
    ring = np.zeros((9, 9, 3), bool)
    ring[2:7, 2:7, 1] = True
    ring[4, 4, 1] = False
    # open across slices, enclosed in its own
    ring[4, 4, 0], ring[0, 4, 0] = False, True
    filled = with_holes_filled(ring)
    assert filled[4, 4, 1] and filled.sum() == ring.sum() + 1


def halo(inner: float, outer: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lesion of radius 5 within a halo of radius 9, where the score is lower: intensity, score and brain."""
    x, y = np.ogrid[-16:16, -16:16]
    radius = np.repeat(np.hypot(x, y)[..., None], 3, axis=2)
    intensity = np.where(radius < 5, inner, np.where(radius < 9, outer, 0.0))
    return intensity, np.where(radius < 5, 2.0, np.where(radius < 9, 0.5, 0.1)), radius < 15


@pytest.mark.parametrize("outer, found", [(0.5, 5), (1.5, 9)])
def test_a_volume_is_cut_where_its_edges_are_sharpest(outer, found):
    intensity, score, brain = halo(2.0, outer)
    threshold = sharpest_threshold(score, intensity, brain, 0.2, 0.1, **SEARCH)
    assert threshold >= 0.2
    x, y = np.ogrid[-16:16, -16:16]
    assert ((score > threshold)[..., 1] == (np.hypot(x, y) < found)).all()


def test_a_threshold_is_the_same_in_the_midst_of_a_volume_and_at_its_end():
    intensity, score, brain = halo(2.0, 1.5)
    threshold = sharpest_threshold(score, intensity, brain, 0.2, 0.1, **SEARCH)
    beyond = [(3, 0), (8, 8), (2, 0)]
    volumes = (np.pad(volume, beyond) for volume in (score, intensity, brain))
    assert sharpest_threshold(*volumes, 0.2, 0.1, **SEARCH) == threshold


def test_an_edge_is_the_step_from_the_outline_to_its_surround():
    intensity, _, brain = halo(2.0, 0.5)
    assert edge_step(intensity > 1, intensity, brain) == pytest.approx(1.5)
    assert edge_step(brain, intensity, brain) == -np.inf


def test_where_nothing_can_be_compared_the_lowest_threshold_stays():
    intensity, score, brain = halo(2.0, 0.5)
    assert sharpest_threshold(np.zeros_like(score), intensity, brain, 0.3, 0.1, **SEARCH) == 0.3
    few, search = np.where(score == score.max(), score, 0.0), {**SEARCH, "fewest": 10_000}
    assert sharpest_threshold(few, intensity, brain, 0.3, 0.1, **search) == 0.3


def judged(spacing: float, lowest: float) -> dict:
    """A lesion of 75 voxels with a dim core, a speck of one voxel with a high score, a corner with a low one."""
    score = torch.zeros(1, 12, 12, 3)
    score[0, 2:7, 2:7] = 0.7
    score[0, 4, 4] = 0.1
    score[0, 9, 9, 0] = 0.9
    score[0, 0, 0] = 0.3
    image = torch.zeros(1, 12, 12, 3)
    image[0, 2:7, 2:7] = image[0, 9, 9, 0] = 2.0
    affine = torch.diag(torch.tensor([spacing, spacing, spacing, 1]))
    pred, image = MetaTensor(torch.ones(1, 12, 12, 3), affine=affine), MetaTensor(image, affine=affine)
    return {"pred": pred, "image": image, "score": score, "refinement": {"lesion_threshold": lowest}}


def test_lesions_are_what_the_judge_sees_above_its_threshold():
    data = judged(spacing=10.0, lowest=0.65)
    result = mark_lesions()(data)
    marked = result["pred"]
    assert isinstance(marked, MetaTensor) and marked.affine[0, 0] == 10 and marked.dtype == data["pred"].dtype
    # the lesion with its enclosed core; the speck is too small beside it, the corner too improbable
    assert marked.sum() == 75 and marked[0, 4, 4, 1] == 1
    assert 0.65 <= result["refinement"]["volume_threshold"] < 0.7
    everything = mark_lesions(smallest_share=0.0)(data)["pred"]
    assert everything.sum() == 76
    # nor is it too small where the lesion, of 75 ml, is far below what asks for the whole share
    assert (
        mark_lesions(share_ml=300.0)(data)["pred"].sum() == 76 and mark_lesions(share_ml=75.0)(data)["pred"].sum() == 75
    )


def test_small_lesions_are_marked_and_a_low_peak_is_none():
    data = judged(spacing=10.0, lowest=0.03)
    result = mark_lesions(smallest_share=0.0)(data)
    # the speck stays; the corner (0.3) is above the threshold nowhere near a peak of 0.6
    assert result["refinement"]["volume_threshold"] < 0.6
    assert result["pred"][0, 9, 9, 0] == 1 and result["pred"][0, 0, 0, 0] == 0 and result["pred"].sum() == 76
    # of 75 voxels of 1 ml less is asked, unless they count as small
    assert mark_lesions(smallest_share=0.0, lowest_peak=0.8)(data)["pred"].sum() == 76
    assert mark_lesions(smallest_share=0.0, lowest_peak=0.8, peak_ml=100.0)(data)["pred"].sum() == 1


def test_what_shows_only_in_a_slice_with_little_brain_is_not_marked():
    data = judged(spacing=10.0, lowest=0.03)
    data["image"][..., 0] = -3.0
    # the speck is all that there is in a slice of 14 voxels of brain; the others have 144
    data["image"][0, 8:10, 3:10, 0] = 2.0
    data["score"][..., 0] = 0.0
    data["score"][0, 9, 9, 0] = 0.9
    speck = {share: mark_lesions(smallest_share=0.0, smallest_brain=share)(data)["pred"] for share in (0.05, 0.15)}
    assert speck[0.05][0, 9, 9, 0] == 1 and speck[0.15][0, 9, 9, 0] == 0
    # a lesion that reaches into it stays whole
    data["score"][0, 9, 9, :2] = 0.9
    assert mark_lesions(smallest_share=0.0, smallest_brain=0.15)(data)["pred"][0, 9, 9, :2].sum() == 2


@pytest.mark.parametrize("spacing", [10.0, 1.0])
def test_by_probability_one_threshold_marks_lesions_of_every_size(spacing):
    """No volume's own threshold, no search for small ones: above a half, cleaned; whatever the voxel size."""
    data = judged(spacing, lowest=0.5)
    data["image"][data["image"] > 0] = -2.0  # as dark as nothing that is bright
    data["score"][0, 11, 11], data["score"][0, 2:7, 2] = 0.5, 0.51
    result = mark_lesions(score="probability")(data)
    # the lesion with its enclosed core and its faint edge; not the speck, nor what is no more than a half
    assert result["pred"].sum() == 75 and result["pred"][0, 4, 4, 1] == 1 and result["pred"][0, 3, 2, 1] == 1
    assert result["refinement"] == {"lesion_threshold": 0.5, "volume_threshold": 0.5}
    assert torch.equal(result["score"], data["score"])
    assert mark_lesions(smallest_share=0.0, score="probability")(data)["pred"].sum() == 76


def test_a_component_stays_by_its_highest_score():
    score = np.zeros((8, 8, 3))
    score[1:4, 1:4, 1], score[2, 2, 1], score[6, 6] = 0.3, 1.2, 1.1
    assert [with_high_peak(score > 0.2, score, lowest, 100).sum() for lowest in (1.2, 1.1)] == [9, 12]
    assert not with_high_peak(score > 2, score, 1.2, 100).any()


def test_of_a_large_component_a_lower_peak_is_asked():
    score = np.zeros((12, 12, 5))
    score[1:9, 1:9, 1] = score[10:, 10:, 3:] = 0.6  # 64 voxels, and 8
    assert with_high_peak(score > 0, score, 1.2, whole_size=8).sum() == 64
    assert not with_high_peak(score > 0, score, 1.21, whole_size=8).any()
    assert with_high_peak(score > 0, score, 0.6, whole_size=1000).sum() == 72


def test_a_peak_in_haze_is_no_lesion():
    score = np.zeros((12, 12, 5))
    score[1:9, 1:9, 1], score[10:, 10:, 3:] = 0.2, 0.6  # 64 voxels, and 8
    score[4, 4, 1] = 4.0
    mask = score > 0
    assert without_haze(mask, score, 0.3, whole_size=100).sum() == 8
    assert without_haze(mask, score, 0.6, whole_size=100).sum() == 8
    assert not without_haze(mask, score, 0.61, whole_size=100).any()
    # 0.26 on average: enough for what is eight times as large
    assert without_haze(mask, score, 0.5, whole_size=8).sum() == 72
    assert not without_haze(np.zeros_like(mask), score, 0.5, whole_size=8).any()


def haze() -> dict:
    """Faint, with a brighter part in it, and a peak in that."""
    score = np.zeros((1, 20, 20, 4), np.float32)
    score[0, 2:12, 2:12] = 0.6
    score[0, 4:8, 4:8] = 1.0
    score[0, 5, 5] = 2.0
    return {
        "pred": MetaTensor(torch.zeros(1, 20, 20, 4)),
        "score": torch.from_numpy(score),
        "image": MetaTensor(torch.from_numpy(score.copy())),
        "refinement": {"lesion_threshold": 0.5},
    }


def test_haze_is_not_marked():
    assert mark_lesions()(haze())["pred"].any() and not mark_lesions(lowest_mean=0.9)(haze())["pred"].any()


def test_a_lesion_in_haze_is_marked_without_the_haze():
    found = mark_lesions(lowest_mean=0.9, sure_peak=2.0)(haze())["pred"][0].numpy()
    assert np.array_equal(found > 0, haze()["score"][0].numpy() > 0.9)
    assert not mark_lesions(lowest_mean=0.9, sure_peak=2.1)(haze())["pred"].any()


def test_a_threshold_moves_little_when_two_outlines_are_nearly_as_sharp():
    """The winner changes places; a mean of both does not jump."""
    thresholds = [
        sharpest_threshold(score, intensity, brain, 0.2, 0.1, **SEARCH)
        for intensity, score, brain in (halo(2.0, outer) for outer in np.linspace(0.5, 1.5, 101))
    ]
    steps = np.abs(np.diff(np.log(thresholds)))
    assert steps.max() < 0.15 and np.log(thresholds[0] / thresholds[-1]) > 0.3


def test_what_shows_in_one_of_many_thin_slices_is_smoothed_away():
    score = np.zeros((8, 8, 9), np.float32)
    score[2, 2, 4] = score[5:7, 5:7, 3:6] = 1.0
    thin, thick = (smoothed_across_slices(score, mm, sigma=1.0) for mm in (1.0, 5.0))
    assert thin[2, 2, 4] < 0.5 < thin[5, 5, 4] and thick[2, 2, 4] > 0.9 and thick[5, 5, 4] > 0.9


def test_a_threshold_is_a_share_of_the_mean_above_it():
    score, brain = np.array([[[4.0, 3.0, 2.0, 1.0, 0.2, 9.0]]]), np.array([[[True] * 5 + [False]]])
    # means of what is no lower: 4, 3.5, 3, 2.5, 2.04
    assert share_of_what_is_above(score, brain, 0.1, 0.5) == 2.0
    assert share_of_what_is_above(score, brain, 0.1, 0.39) == 1.0
    assert share_of_what_is_above(score, brain, 0.1, 0.05) == 0.2
    assert share_of_what_is_above(score, brain, 1.5, 0.1) == 2.0
    assert share_of_what_is_above(score, brain, 5.0, 0.5) == 5.0
    # twice the score, twice the threshold
    assert share_of_what_is_above(2 * score, brain, 0.1, 0.5) == 4.0


def test_thresholds_count_by_how_near_they_are():
    weights = nearness(5, lowest=0.1, ratio=2.0, middle=0.4, spread=np.log(2))
    assert weights == pytest.approx(np.exp([-2.0, -0.5, 0.0, -0.5, -2.0]))


def test_haze_around_a_bright_lesion_is_left_out():
    """Its edge is nearly as sharp, and it is larger; but it scores far below the lesion."""
    intensity, _, brain = halo(2.0, 0.9)
    x, y = np.ogrid[-16:16, -16:16]
    radius = np.repeat(np.hypot(x, y)[..., None], 3, axis=2)
    score = np.where(radius < 5, 3.0, np.where(radius < 9, 0.3, 0.0))
    by_edges = sharpest_threshold(score, intensity, brain, 0.03, 0.05, **SEARCH)
    assert by_edges < 0.3 and share_of_what_is_above(score, brain, 0.03, 0.333) == 3.0
    image = MetaTensor(torch.from_numpy(np.where(brain, intensity, BACKGROUND))[None].float(), affine=torch.eye(4))
    data = {"pred": image > 9, "image": image, "score": torch.from_numpy(score)[None].float()}
    result = mark_lesions()({**data, "refinement": {"lesion_threshold": 0.03}})
    assert 0.3 < result["refinement"]["volume_threshold"] < 3.0
    assert (result["pred"][0].numpy() == (radius < 5)).all()


def test_numbers_that_make_no_sense_are_refused_at_once():
    for wrong in ({"share": 0.0}, {"share": 1.5}, {"spread": 0.0}):
        with pytest.raises(InputError, match="give a share between 0 and 1 and a positive spread"):
            MarkLesionsd(
                "pred", "bright", "intensity", 0.8, 0.05, 40.0, SEARCH | NEAR | DOUBT | wrong, 1, 0.5, 2, 5, 0.15
            )


def test_one_score_of_the_volume_marks_calibrates_and_is_delivered():
    """By intensity a Gaussian across slices by their distance, by probability a median: it alone drops a speck."""
    data = judged(spacing=1.0, lowest=0.03)
    across = smoothed_across_slices(data["score"][0].numpy(), 1.0, sigma=1.0)
    scored = VolumeScored("score", "intensity", slice_sigma=1.0, median_radius=1)(data)["score"]
    assert isinstance(scored, type(data["score"])) and np.allclose(scored[0], across) and across[9, 9, 0] > 0.5
    assert np.array_equal(volume_score(data["score"][0].numpy(), "intensity", 1.0, 1.0, 1), across)
    median = VolumeScored("score", "probability", slice_sigma=1.0, median_radius=1)(data)["score"]
    assert median[0, 9, 9, 0] == 0 and median[0, 3, 3, 1] == data["score"][0, 3, 3, 1]


def test_nothing_outside_the_brain_is_marked():
    """A hole in the brain mask that a lesion encloses stays one, in both ways to mark lesions."""
    for spacing, lowest in ((10.0, 0.65), (1.0, 0.03)):
        data = judged(spacing, lowest)
        data["image"][0, 4, 4] = BACKGROUND
        marked = mark_lesions()(data)["pred"]
        assert not marked[0, 4, 4].any() and marked[0, 3, 4].all()


def test_a_threshold_that_is_not_calibrated_marks_nothing_silently():
    data = {"pred": torch.ones(1, 4, 4, 2), "score": torch.zeros(1, 4, 4, 2)}
    with pytest.raises(InputError, match="itermask2 calibrate"):
        mark_lesions()({**data, "refinement": {"lesion_threshold": float("nan")}})


def test_a_range_leaves_the_same_share_of_the_weights_on_either_side():
    weights = np.array([1.0, 2.0, 4.0, 2.0, 1.0])
    assert mean_threshold(weights, 0.1, 2.0) == pytest.approx(0.4)
    # the first holds a tenth of the weight, the first two three tenths
    assert threshold_range(weights, 0.1, 2.0, 0.2) == pytest.approx((0.2, 0.8))
    assert threshold_range(weights, 0.1, 2.0, 0.35) == pytest.approx((0.4, 0.4))
    assert threshold_range(weights, 0.1, 2.0, 0.05) == pytest.approx((0.1, 1.6))
    assert threshold_range(np.ones(1), 0.3, 2.0, 0.25) == (0.3, 0.3)


def test_masks_that_differ_at_both_ends_of_the_range_are_told_in_millilitres():
    low, high = np.zeros((2, 10, 10, 1), bool)
    assert uncertain_ml(low, high, 0.8, 0.5) == []
    low[:6] = high[:4] = True
    # a Dice of 0.8 with one another
    assert uncertain_ml(low, high, 0.8, 0.5) == [] and uncertain_ml(low, high, 0.81, 0.5) == [20.0, 30.0]


def ranged(outer: float) -> dict:
    """What is known of the threshold of a lesion and its halo."""
    intensity, score, _ = halo(2.0, outer)
    # texture, so that intensities have a range
    image = torch.from_numpy(intensity + 0.2 * (np.indices(intensity.shape).sum(0) % 2))[None].float()
    image, scores = MetaTensor(image, affine=torch.eye(4)), torch.from_numpy(score)[None].float()
    data = {"pred": image > 9, "image": image, "score": scores}
    return mark_lesions()({**data, "refinement": {"lesion_threshold": 0.2}})


def test_a_lesion_and_its_halo_that_are_as_sharp_make_a_threshold_uncertain():
    sure, unsure = ranged(0.2), ranged(0.85)
    for found in (sure["refinement"], unsure["refinement"]):
        low, high = found["threshold_range"]
        assert 0.2 <= low <= found["volume_threshold"] <= high
    assert "uncertain_ml" not in sure["refinement"] and POSSIBLE not in sure
    # voxels of 1 microlitre: the lesion, and the lesion with its halo
    _, score, _ = halo(2.0, 0.85)
    assert (
        unsure["refinement"]["uncertain_ml"]
        == [round((score > above).sum() / 1000, 1) for above in (1, 0.2)]
        == [0.2, 0.7]
    )
    possible = unsure[POSSIBLE][0].numpy()
    assert np.array_equal(possible > 0, score > 0.2) and np.array_equal(possible == 3, score > 1)
    assert set(np.unique(possible)) == {0, 1, 3} and np.array_equal(unsure[POSSIBLE].affine, np.eye(4))


def test_what_is_computed_in_a_box_is_that_of_the_whole_volume():
    """Specks, a ring at the edge of the volume, and a hole that is open at the edge."""
    score = np.random.default_rng(0).random((14, 12, 5)) ** 8
    score[:5, :5, 2] = 0.9
    score[2, 2, 2] = score[0, 3, 2] = 0.0
    mask, all_near, in_plane = score > 0.4, np.ones((3, 3, 3)), np.ones((3, 3, 1))
    filled = ndimage.binary_fill_holes(mask, structure=ndimage.generate_binary_structure(2, 1)[..., None])
    assert (with_holes_filled(mask) == filled).all() and filled[2, 2, 2] and not filled[0, 3, 2]
    labels, number = ndimage.label(mask, all_near)
    peaks = ndimage.maximum(score, labels, range(1, number + 1))
    assert (with_high_peak(mask, score, 0.8, mask.size) == np.isin(labels, 1 + np.flatnonzero(peaks >= 0.8))).all()
    outline, surround = mask & ~ndimage.binary_erosion(mask, in_plane), ndimage.binary_dilation(mask, in_plane) & ~mask
    assert edge_step(mask, score, np.ones_like(mask)) == score[outline].mean() - score[surround].mean()
