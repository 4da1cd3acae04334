# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The brightness that a coil gives to a scan: a smooth field, found by N4 (Tustison et al., IEEE TMI 2010)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from skimage.measure import block_reduce
from torch.nn import functional as F

from bundle.preprocessing.box import box_of

_ALONE = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The filters that ITK makes meanwhile, N4 its splines among them, have one thread: sums are in the same order, and
    so results the same to the bit, on every computer. One caller at a time: the number is one for the whole program."""
    from itk.ITKCommonBasePython import itkMultiThreaderBase

    with _ALONE:
        before = itkMultiThreaderBase.GetGlobalDefaultNumberOfThreads()
        itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            itkMultiThreaderBase.SetGlobalDefaultNumberOfThreads(before)


def _n4(signal: np.ndarray, used: np.ndarray, spacing: Sequence[float], levels: int, iterations: int) -> np.ndarray:
    """The logarithm of ITK's N4 field, in every voxel of ``signal`` (positive, float32), from those of ``used``."""
    # loading these modules alone takes 0.8 s; N4 by its name as a template 10 s, itk.image_from_array 0.5 s
    from itk import itkN4BiasFieldCorrectionImageFilterPython as itk_n4
    from itk.itkPyBufferPython import itkPyBufferIF3, itkPyBufferIUC3

    image = itkPyBufferIF3.GetImageViewFromArray(np.ascontiguousarray(signal.transpose(2, 1, 0)))
    mask = itkPyBufferIUC3.GetImageViewFromArray(np.ascontiguousarray(used.transpose(2, 1, 0), np.uint8))
    image.SetSpacing([float(mm) for mm in spacing])
    mask.SetSpacing([float(mm) for mm in spacing])
    n4 = itk_n4.itkN4BiasFieldCorrectionImageFilterIF3IUC3IF3_New()
    n4.SetInput(image)
    n4.SetMaskImage(mask)
    n4.SetUseMaskLabel(True)
    n4.SetMaskLabel(1)
    n4.SetNumberOfFittingLevels(levels)
    n4.SetMaximumNumberOfIterations([iterations] * levels)
    n4.SetNumberOfWorkUnits(1)
    with _one_thread():
        n4.Update()
    found = np.frombuffer(itkPyBufferIF3._GetArrayViewFromImage(n4.GetOutput()), np.float32)
    corrected = found.reshape(signal.shape[::-1]).transpose(2, 1, 0)
    return np.log(signal / np.maximum(corrected, np.finfo(np.float32).tiny))


def coil_field(
    signal: np.ndarray,
    brain: np.ndarray,
    used: np.ndarray,
    spacing: Sequence[float],
    mm: float,
    levels: int,
    iterations: int,
) -> np.ndarray:
    """The smooth multiplicative field of a scan.

    Args:
        signal: intensities, three axes, not negative in the brain.
        brain: bool, the shape of ``signal``.
        used: bool, the shape of ``signal``: where N4 may look; without lesions, whose brightness is not the coil's.
        spacing: of the voxels, in millimetres.
        mm: N4 sees voxels of about this size.
        levels: of its spline; each halves the distance of the control points. The first has one cell for the brain.
        iterations: at each level.

    Returns:
        np.ndarray: float32, the shape of ``signal``, positive; its geometric mean over the brain is 1, and it is 1
        outside. 1 everywhere where nothing may be used.
    """
    if not (used & brain).any():
        return np.ones(signal.shape, np.float32)
    factors = tuple(max(1, round(mm / size)) for size in spacing)
    box = box_of(brain)
    weight = (used & brain)[box].astype(np.float32)
    shares = block_reduce(weight, factors, np.mean)
    coarse = block_reduce(signal[box] * weight, factors, np.mean) / np.maximum(shares, 1e-3)
    inside = shares > 0.5
    if not inside.any() or min(inside.shape) < 2:
        # a spline of one point has no length
        return np.ones(signal.shape, np.float32)
    mean = coarse[inside].mean()
    # N4 takes the logarithm; where it may not look, any positive value shows the field that it found
    coarse = np.where(inside, np.maximum(coarse, 0.01 * mean), mean).astype(np.float32)
    found = _n4(coarse, inside, [s * f for s, f in zip(spacing, factors)], levels, iterations)
    size = [number * factor for number, factor in zip(coarse.shape, factors)]
    smooth = F.interpolate(torch.from_numpy(found)[None, None], size=size, mode="trilinear", align_corners=False)
    whole = np.zeros(signal.shape, np.float32)
    whole[box] = smooth[0, 0].numpy()[tuple(slice(0, number) for number in weight.shape)]
    whole -= whole[brain].mean()
    return np.exp(whole * brain)
