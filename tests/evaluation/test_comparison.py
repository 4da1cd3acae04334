import csv

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.evaluation.baselines import Method, plain_at_sharpest_edge, robust_by_slice, robust_normalised
from bundle.evaluation.cases import Case, read_cases
from bundle.evaluation.comparison import add_gains, bootstrap_interval, compare, write_tables
from bundle.postprocessing.cleaning import without_small


def case(seed: int, shift: float = 0.0) -> Case:
    """A brain of noise with one bright lesion of 6 x 6 x 3 voxels, a part of which lies outside the brain mask."""
    random = np.random.RandomState(seed)
    brain = np.zeros((24, 24, 8), bool)
    brain[2:22, 2:22, 1:7] = True
    label = np.zeros_like(brain)
    label[6:12, 6:12, 2:5] = True
    brain[6, 6, 2] = False
    image = np.where(brain, random.normal(100 + shift, 10, brain.shape) + 100 * label, 0)
    mask = label & brain
    mask[15, 15, 6] = True
    error = np.where(brain, label * 2.0 + random.uniform(0, 1, brain.shape), 0)
    iterations = np.where(mask, 9, 1)
    return Case(f"case_{seed}", image, brain, label, mask, error, error, iterations, error / 3, 0.97, 12.5)


def test_a_map_gets_the_threshold_that_its_source_chooses():
    validation, test = [case(0), case(1)], [case(2, shift=80), case(3, shift=80)]
    method = Method("plain", lambda c: c.image)
    by_validation, by_test = compare(validation, test, [method])
    assert (by_validation["threshold from"], by_test["threshold from"]) == ("validation labels", "test labels")
    assert (
        by_validation["threshold"] < by_test["threshold"] and by_test["Dice mean"] > by_validation["Dice mean"] > 0.05
    )
    # the voxel outside the brain mask is missed: 107 of 108
    assert by_test["Dice mean"] == pytest.approx(2 * 107 / 215, abs=0.02)
    assert by_test["AUPRC"] > 0.99 and by_test["lesions found"] == 1


def test_a_mask_is_taken_as_it_is():
    (row,) = compare([case(0)], [case(1)], [Method("IterMask2, final mask", lambda c: c.mask)])
    assert row["threshold from"] == "no labels" and row["threshold"] is None and row["AUPRC"] is None
    assert row["Dice mean"] == pytest.approx(2 * 107 / (108 + 108))
    assert row["sensitivity"] == pytest.approx(107 / 108) and row["precision"] == pytest.approx(107 / 108)
    assert row["false positives on lesion-free slices"] == pytest.approx(1 / 1200, rel=0.1)
    assert row["healthy SSIM"] == 0.97 and row["seconds"] == 12.5


def test_cleaning_is_part_of_the_choice_of_the_threshold():
    (row,) = compare([case(0)], [case(1)], [Method("mask", lambda c: c.mask, without_small)])
    assert row["precision"] == 1


def test_normalisation_does_not_know_the_scale():
    first = case(0)
    other = first._replace(image=first.image * 7)
    assert np.allclose(robust_normalised(first), robust_normalised(other))
    inside = robust_normalised(first)[first.brain]
    assert np.median(inside) == pytest.approx(0) and np.subtract(*np.percentile(inside, [75, 25])) == pytest.approx(1)


def test_the_median_of_each_slice_makes_slices_alike():
    plain = case(0)
    shifted = plain._replace(image=plain.image + 9 * plain.brain * np.arange(plain.image.shape[2]))
    alike = robust_by_slice(shifted)
    assert all(np.median(alike[..., z][plain.brain[..., z]]) == pytest.approx(0) for z in range(1, 7))
    assert not alike[~plain.brain].any()


def test_a_plain_threshold_follows_the_edge_of_each_volume():
    dim, bright = case(0), case(1, shift=80)
    for one in (dim, bright):
        mask = plain_at_sharpest_edge(one)
        assert 2 * (mask & one.label).sum() / (mask.sum() + one.label.sum()) > 0.6


def test_interval():
    low, high = bootstrap_interval([0.5] * 10)
    assert low == high == 0.5
    values = np.random.RandomState(1).normal(0.6, 0.2, 100)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.2)


def test_gains_are_paired():
    cases = [case(i) for i in range(4)]
    worse = Method("worse", lambda c: c.mask & (np.arange(24) > 8)[:, None, None])
    rows = compare([], cases, [worse, Method("IterMask2", lambda c: c.mask)])
    add_gains(rows, {"gain": "worse"})
    first, second = (row["gain"] for row in rows)
    assert first == "+0.000 (+0.000 to +0.000)"
    gain = np.mean(rows[1]["dice"]) - np.mean(rows[0]["dice"])
    # all cases gain the same, however much they differ
    assert second == f"{gain:+.3f} ({gain:+.3f} to {gain:+.3f})" and gain > 0.2


def test_thresholds_of_labels_can_be_left_out():
    methods = [Method("plain", lambda c: c.image), Method("IterMask2", lambda c: c.mask)]
    rows = compare([case(0)], [case(1)], methods, label_free=True)
    assert [row["method"] for row in rows] == ["IterMask2"]


def test_marked_components_that_are_no_lesion_are_counted():
    (row,) = compare([], [case(1)], [Method("mask", lambda c: c.mask)])
    assert row["lesions found"] == 1 and row["components right"] == 0.5


def test_people_without_a_lesion_count_for_false_positives_alone():
    healthy = case(5)
    healthy = healthy._replace(label=np.zeros_like(healthy.label))
    methods = [Method("plain", lambda c: c.image), Method("IterMask², mask", lambda c: c.mask)]
    diseased = compare([case(0)], [case(1)], methods)
    both = compare([case(0), healthy], [case(1), healthy], methods)
    for one, two in zip(diseased, both):
        assert two["threshold from"] == one["threshold from"] and two["AUPRC"] == one["AUPRC"]
        if one["threshold from"] == "no labels":
            names = ("Dice mean", "Dice median", "largest slice Dice mean", "sensitivity", "precision")
            assert all(two[name] == one[name] for name in names)
    masks = both[-1]
    # what is the lesion of others is all false here
    assert masks["false positives on lesion-free slices"] > 0.02 and np.isnan(masks["dice"][1])
    add_gains(both, {"gain": "plain"})
    assert "nan" not in both[-1]["gain"]


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice", "ignore:invalid value")
def test_a_test_set_of_healthy_people_alone():
    healthy = [case(i)._replace(label=np.zeros((24, 24, 8), bool)) for i in range(2)]
    rows = compare([], healthy, [Method("plain", lambda c: c.image), Method("IterMask², mask", lambda c: c.mask)])
    add_gains(rows, {"gain": "plain"})
    (row,) = rows
    assert row["false positives on lesion-free slices"] > 0.02 and "gain" not in row
    assert all(np.isnan(row[name]) for name in ("Dice mean", "precision", "lesions found"))


def test_tables(tmp_path):
    cases = [case(0), case(1)]
    rows = compare(cases, cases, [Method("plain", lambda c: c.image), Method("IterMask2", lambda c: c.mask)])
    table = write_tables(rows, [c.name for c in cases], str(tmp_path))
    assert table.count("\n") == 5 and (tmp_path / "comparison.md").read_text() == table
    written = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    assert [row["threshold from"] for row in written] == ["validation labels", "test labels", "no labels"]
    dice = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert [row["case"] for row in dice] == ["case_0", "case_1"]
    mean = np.mean([float(row["IterMask2 (no labels)"]) for row in dice])
    assert mean == pytest.approx(float(written[2]["Dice mean"]), abs=1e-3)


def test_no_evaluation(tmp_path):
    with pytest.raises(InputError, match=r"no cases.csv"):
        read_cases(str(tmp_path))
