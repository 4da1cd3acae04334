from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from bundle.evaluation import Method, add_gains, compare
from bundle.evaluation.comparison import GAIN
from bundle.postprocessing.cleaning import without_small
from tests.evaluation.simulated_cases import CHOICE, case

CLEAN = partial(without_small, share=0.1)


def test_a_scoregets_the_threshold_that_its_source_chooses():
    validation, test = [case(0), case(1)], [case(2, shift=80), case(3, shift=80)]
    method = Method("plain", lambda c: c.image)
    by_validation, by_test = compare(validation, test, [method], CHOICE)
    assert (by_validation["threshold from"], by_test["threshold from"]) == ("validation labels", "test labels")
    assert (
        by_validation["threshold"] < by_test["threshold"] and by_test["Dice mean"] > by_validation["Dice mean"] > 0.05
    )
    # the voxel outside the brain mask is missed: 107 of 108
    assert by_test["Dice mean"] == pytest.approx(2 * 107 / 215, abs=0.02)
    # by thresholds all at once, and by the mask of the chosen one: the same cases, the same Dice
    assert by_test["Dice where it was chosen"] == pytest.approx(by_test["Dice mean"], abs=1e-9)
    assert by_test["AUPRC"] > 0.99 and by_test["lesions found"] == 1


def test_a_mask_is_taken_as_it_is():
    (row,) = compare([case(0)], [case(1)], [Method("IterMask2, final mask", lambda c: c.mask, painted=True)], CHOICE)
    assert row["threshold from"] == "no labels" and row["threshold"] is None and row["AUPRC"] is None
    assert row["Dice mean"] == pytest.approx(2 * 107 / (108 + 108))
    assert row["sensitivity"] == pytest.approx(107 / 108) and row["precision"] == pytest.approx(107 / 108)
    assert row["false positives on lesion-free slices"] == pytest.approx(1 / 1200, rel=0.1)
    assert row["healthy SSIM"] == 0.97 and row["seconds"] == 12.5


def test_gains_are_paired():
    cases = [case(i) for i in range(4)]
    plain = Method("plain", lambda c: c.image * 1.0)
    rows = compare(cases, cases, [plain, Method("IterMask2", lambda c: c.mask)], CHOICE)
    add_gains(rows, {"plain"}, CHOICE)
    assert rows[0][GAIN] == "+0.000 (+0.000 to +0.000)"
    gains = np.subtract(rows[-1]["dice"], rows[0]["dice"])
    assert rows[-1][GAIN].startswith(f"{gains.mean():+.3f} (")


def test_gains_are_over_the_plain_threshold_that_is_best_where_labels_may_choose():
    """Dark lesions: the threshold of bright voxels, which comes first, finds none."""
    cases = [case(i)._replace(image=-case(i).image) for i in range(4)]
    methods = [Method("bright", lambda c: c.image), Method("dark", lambda c: -c.image)]
    rows = compare(cases[:2], cases[2:], [*methods, Method("IterMask2", lambda c: c.mask)], CHOICE)
    add_gains(rows, {"bright", "dark"}, CHOICE)
    gains = {(row["method"], row["threshold from"]): float(row[GAIN].split()[0]) for row in rows}
    assert gains["dark", "validation labels"] == 0 and gains["bright", "validation labels"] < -0.5
    unvalidated = compare([], cases[2:], methods, CHOICE)
    add_gains(unvalidated, {"bright", "dark"}, CHOICE)
    assert [float(row[GAIN].split()[0]) == 0 for row in unvalidated] == [False, True]


def test_thresholds_of_labels_can_be_left_out():
    methods = [Method("plain", lambda c: c.image), Method("IterMask2", lambda c: c.mask)]
    rows = compare([case(0)], [case(1)], methods, CHOICE, label_free=True)
    assert [row["method"] for row in rows] == ["IterMask2"]


def test_marked_components_that_are_no_lesion_are_counted():
    (row,) = compare([], [case(1)], [Method("mask", lambda c: c.mask)], CHOICE)
    assert row["lesions found"] == 1 and row["components right"] == 0.5


def test_people_without_a_lesion_count_for_false_positives_alone():
    healthy = case(5)
    healthy = healthy._replace(label=np.zeros_like(healthy.label))
    methods = [Method("plain", lambda c: c.image), Method("IterMask², mask", lambda c: c.mask)]
    diseased = compare([case(0)], [case(1)], methods, CHOICE)
    both = compare([case(0), healthy], [case(1), healthy], methods, CHOICE)
    for one, two in zip(diseased, both):
        assert two["threshold from"] == one["threshold from"] and two["AUPRC"] == one["AUPRC"]
        if one["threshold from"] == "no labels":
            names = ("Dice mean", "Dice median", "largest slice Dice mean", "sensitivity", "precision")
            assert all(two[name] == one[name] for name in names)
    masks = both[-1]
    # what is the lesion of others is all false here
    assert masks["false positives on lesion-free slices"] > 0.02 and np.isnan(masks["dice"][1])
    add_gains(both, {"plain"}, CHOICE)
    assert "nan" not in both[-1][GAIN]


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice", "ignore:invalid value")
def test_a_test_set_of_healthy_people_alone():
    healthy = [case(i)._replace(label=np.zeros((24, 24, 8), bool)) for i in range(2)]
    rows = compare(
        [], healthy, [Method("plain", lambda c: c.image), Method("IterMask², mask", lambda c: c.mask)], CHOICE
    )
    add_gains(rows, {"plain"}, CHOICE)
    (row,) = rows
    assert row["false positives on lesion-free slices"] > 0.02 and GAIN not in row
    assert all(np.isnan(row[name]) for name in ("Dice mean", "precision", "lesions found"))


def _map_with_specks(one):
    """A lesion scores 0.6, its highest slice 0.3, and specks around it, each a voxel, 0.4."""
    specks = np.zeros(one.label.shape, bool)
    specks[::3, ::3, ::3] = True
    specks &= one.brain & ~ndimage.binary_dilation(one.label, np.ones((3, 3, 3)))
    score = np.select([one.label, specks], [0.6, 0.4], 0.0)
    score[..., 4][one.label[..., 4]] = 0.3
    return score


def test_cleaning_is_part_of_the_choice_of_the_threshold():
    methods = [Method(name, _map_with_specks, clean) for name, clean in (("plain", None), ("cleaned", CLEAN))]
    rows = compare([case(0)], [case(1)], methods, CHOICE)
    plain, cleaned = (next(row for row in rows if row["method"] == method.name) for method in methods)
    assert plain["threshold"] >= 0.3 > cleaned["threshold"]
    assert cleaned["precision"] == 1 and cleaned["sensitivity"] > 0.95 > 0.7 > plain["sensitivity"]
