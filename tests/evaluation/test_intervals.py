import numpy as np
import pytest

from bundle.evaluation import bootstrap_interval


def test_interval():
    low, high = bootstrap_interval([0.5] * 10, 10_000, 0)
    assert low == high == 0.5
    values = np.random.RandomState(1).normal(0.6, 0.2, 100)
    low, high = bootstrap_interval(values, 10_000, 0)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.2)
    assert bootstrap_interval(values, 10_000, 0) == (low, high)


def test_an_interval_needs_two_values():
    assert bootstrap_interval([0.3, np.nan], 10_000, 0) == (0.3, 0.3)
    assert np.isnan(bootstrap_interval([np.nan], 10_000, 0)).all()
