import numpy as np
import pytest

from bundle.evaluation.plain_maps import robust_by_slice, robust_normalised
from tests.evaluation.simulated_cases import case


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
