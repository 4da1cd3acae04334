# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The outline of a lesion in the voxels of the scan, which are finer than the pixels of the model.

No part of the published method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from scipy import ndimage

from bundle.data.volumes import in_plane
from bundle.postprocessing.cleaning import around, touching, with_holes_filled
from bundle.postprocessing.second_pass import COIL_FIELD
from bundle.preprocessing.intensities import BACKGROUND

# what is brighter in the scan than around it looks more like a lesion, or less; of "any" it is not known
DIRECTIONS = {"bright": 1.0, "dark": -1.0, "any": 0.0}


def smoothed_in_plane(image: np.ndarray, brain: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """The mean of the brain around each voxel of it.

    Args:
        image: float, slices along the last axis.
        brain: bool, the shape of ``image``; what is not brain has no weight.
        sigmas: of the Gaussian along both axes of a slice, in voxels.
    """
    weights = ndimage.gaussian_filter(brain.astype(np.float32), (*sigmas, 0))
    return ndimage.gaussian_filter(np.where(brain, image, 0), (*sigmas, 0)) / np.maximum(weights, 1e-3)


def fine_outline(
    mask: np.ndarray,
    score: np.ndarray,
    detail: np.ndarray,
    brain: np.ndarray,
    threshold: float,
    reach: Sequence[int],
) -> np.ndarray:
    """A mask whose outline follows the score and the detail of the scan, within ``reach`` of where it was.

    Args:
        mask: bool, slices along the last axis.
        score: lesion score, the shape of ``mask``.
        detail: what is added to it, the shape of ``mask``.
        brain: bool, the shape of ``mask``.
        threshold: of the score.
        reach: by how many voxels the outline may move, along both axes of a slice.

    Returns:
        np.ndarray: bool, the shape of ``mask``; it touches all components of ``mask`` and has no others.
    """
    window = np.ones((*(2 * voxels + 1 for voxels in reach), 1), bool)
    near = ndimage.binary_dilation(mask, window)
    # so that the border of the volume is no outline
    inner = ndimage.binary_erosion(mask, window, border_value=1)
    drawn = with_holes_filled((near & (score + detail > threshold)) | inner) & brain
    drawn = touching(drawn, mask)
    lost = mask & ~touching(mask, drawn)
    return drawn | lost


class FineOutlined(MapTransform):
    """Draw the outline of a mask in the voxels of the scan.

    The model sees pixels of nearly 2 mm, smoothed, and its mask comes in these. Within one such pixel of its outline a
    voxel is marked where the score, interpolated, and the detail that the scan has there are above the threshold of the
    volume together. The detail is how much brighter the scan is than where it is as smooth as the model saw it, in
    interquartile ranges of the brain, as the score is. Where the mask grows or shrinks, so do the ``uncertain_ml`` in
    ``refinement``, see :py:class:`bundle.postprocessing.MarkLesionsd`.

    Args:
        keys: of the mask, 1 x W x H x D, on the grid of the scan.
        contrast: see :py:func:`bundle.model.lesion_score.lesion_intensity`. Of "any" the score alone counts.
        score: what it is made of; an outline by a score by "probability" stays.
        score_sigma: of its intensity, in pixels of the model.
        outline: ``detail``, how much of it counts, and ``fine_mm``, the sigma of a Gaussian in the slice, in
            millimetres, against noise.
        to_scan: takes volumes of its keys, the score and the field of the coil, to the grid of the scan.
        score_key: of the score on the grid of the model.
        image_key: of the preprocessed image, with its meta data.
        scan_key: of the scan as it was read.
        brain_key: of its brain mask.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrast: str,
        score: str,
        score_sigma: float,
        outline: Mapping[str, float],
        to_scan: Callable[[dict[Hashable, Any]], Mapping[Hashable, Any]],
        score_key: str = "score",
        image_key: str = "image",
        scan_key: str = "scan",
        brain_key: str = "scan_brain",
    ) -> None:
        super().__init__(keys)
        self.direction = DIRECTIONS[contrast]
        self.score = score
        # the mean over a pixel, and the Gaussian
        self.coarse_pixels = math.hypot(score_sigma, 1 / math.sqrt(12))
        self.share = float(outline["detail"])
        self.fine_mm = float(outline["fine_mm"])
        self.to_scan = to_scan
        self.score_key = score_key
        self.image_key = image_key
        self.scan_key = scan_key
        self.brain_key = brain_key

    def _quarters(self, image: Any) -> float:
        """Interquartile range of the brain, in the intensities of the scan."""
        values = torch.as_tensor(image)
        low, high = np.percentile(values[values > BACKGROUND].cpu().numpy(), (25, 75))
        # as small as in the score
        return max(float(high - low), 1e-6) / (-2 * BACKGROUND) * float(image.meta["intensity_high"])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if self.score == "probability" or not bool((d[key] > 0).any()):
                continue
            drawn = self._drawn(d, d[key])
            if "uncertain_ml" in d["refinement"]:
                growth = float(drawn.sum()) / float((d[key] > 0).sum())
                sizes = [round(growth * millilitres, 1) for millilitres in d["refinement"]["uncertain_ml"]]
                d["refinement"] = {**d["refinement"], "uncertain_ml": sizes}
            d[key] = convert_to_dst_type(drawn[None], d[key])[0]
        return d

    def _drawn(self, d: Mapping[Hashable, Any], mask: Any) -> np.ndarray:
        image = d[self.image_key]
        affine = np.asarray(mask.affine, float)
        axes = in_plane(affine)
        across = 3 - sum(axes)
        spacing = np.asarray(affine_to_spacing(affine))[list(axes)]
        pixel = float(max(affine_to_spacing(image.affine)[:2]))
        reach = [round(pixel / mm) for mm in spacing]
        whole = np.moveaxis(torch.as_tensor(mask)[0].cpu().numpy() > 0, across, -1)
        coarse_mm = self.coarse_pixels * pixel
        box = around(whole, margin=max(reach) + math.ceil(4 * coarse_mm / spacing.min()))

        def cut(volume: Any) -> np.ndarray:
            return np.moveaxis(torch.as_tensor(volume)[0].cpu().numpy(), across, -1)[box]

        on_scan = self.to_scan({name: d[name] for name in (self.image_key, self.score_key, COIL_FIELD) if name in d})
        scan, brain = cut(d[self.scan_key]).astype(np.float32), cut(d[self.brain_key]) > 0
        if COIL_FIELD in d:
            field = cut(on_scan[COIL_FIELD])
            scan /= np.where(field > 0, field, 1)
        fine, coarse = (smoothed_in_plane(scan, brain, mm / spacing) for mm in (self.fine_mm, coarse_mm))
        detail = self.direction * self.share * (fine - coarse) / self._quarters(image)
        threshold = float(d["refinement"]["volume_threshold"])
        drawn = np.zeros(whole.shape, bool)
        drawn[box] = fine_outline(whole[box], cut(on_scan[self.score_key]), detail, brain, threshold, reach)
        return np.moveaxis(drawn, -1, across)
