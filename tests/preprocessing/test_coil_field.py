import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bundle.preprocessing.coil_field import coil_field

SETTINGS = {"mm": 4.0, "levels": 2, "iterations": 20}


def ball_in_a_field():
    """Two tissues in a ball, times a field that rises by a factor of two from one side to the other."""
    x, y, z = np.ogrid[-20:20, -20:20, -8:8]
    brain = x**2 + y**2 + (2 * z) ** 2 < 18**2
    tissue = np.where((x // 4 + y // 4 + z // 2) % 2, 0.7, 1.0)
    field = np.exp(np.log(2) * (x / 40.0) + 0 * y + 0 * z).astype(np.float32)
    return (tissue * field * brain).astype(np.float32), brain, field


def test_the_field_that_was_laid_over_a_scan_is_found():
    signal, brain, field = ball_in_a_field()
    found = coil_field(signal, brain, brain, (2.0, 2.0, 4.0), **SETTINGS)
    assert np.corrcoef(np.log(found[brain]), np.log(field[brain]))[0, 1] > 0.95
    assert np.log(found[brain]).std() == pytest.approx(np.log(field[brain]).std(), rel=0.3)
    assert np.log(found[brain]).mean() == pytest.approx(0, abs=1e-4) and (found[~brain] == 1).all()


def test_where_it_may_not_look_it_sees_nothing():
    signal, brain, _ = ball_in_a_field()
    lesion = np.zeros_like(brain)
    lesion[22:32, 12:24] = True
    lesion &= brain
    brighter = np.where(lesion, 2 * signal, signal)
    found, without = (
        coil_field(image, brain, brain & ~lesion, (2.0, 2.0, 4.0), **SETTINGS) for image in (brighter, signal)
    )
    assert np.array_equal(found, without)
    assert (coil_field(signal, brain, np.zeros_like(brain), (2.0, 2.0, 4.0), **SETTINGS) == 1).all()


def test_a_brain_in_one_slice_has_no_field():
    """ITK ended with an exception of its own."""
    signal, brain, _ = ball_in_a_field()
    one = np.zeros_like(brain)
    one[..., 8] = brain[..., 8]
    assert (coil_field(signal * one, one, one, (2.0, 2.0, 4.0), **SETTINGS) == 1).all()


def test_the_field_is_the_same_to_the_bit_by_however_many_threads():
    """Filters within N4 take the number of threads of the computer, and add up in another order."""
    from itk.ITKCommonBasePython import itkMultiThreaderBase

    signal, brain, _ = ball_in_a_field()
    before, found = itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads(), []
    try:
        for threads in (1, 4):
            itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
            found.append(coil_field(signal, brain, brain, (2.0, 2.0, 4.0), **SETTINGS))
            assert itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads() == threads
    finally:
        itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(before)
    assert np.array_equal(*found)


def test_two_at_once_leave_the_number_of_threads_of_the_program():
    from itk.ITKCommonBasePython import itkMultiThreaderBase

    from bundle.preprocessing.coil_field import _one_thread

    before, seen, inside = itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads(), [], threading.Event()

    def work(first: bool) -> None:
        with _one_thread():
            inside.set()
            # the one that begins later would end first
            time.sleep(0.2 if first else 0.05)
            seen.append(itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads())

    itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(4)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(work, True)
            inside.wait(10)
            threads.submit(work, False).result(), first.result()
        assert seen == [1, 1] and itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads() == 4
    finally:
        itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(before)
