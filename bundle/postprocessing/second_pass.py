# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The coil's brightness is taken out of a scan, and lesions are searched for again. No part of the published method."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import affine_to_spacing
from monai.inferers import Inferer
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor

from bundle.preprocessing.coil_field import coil_field
from bundle.preprocessing.intensities import BACKGROUND

# key, and meta data of the image: the field that was taken out of it
COIL_FIELD = "coil_field"

# of the numbers of the field, those that N4 does not take
OF_THE_TWO_SEARCHES = ("fade_spread", "rough_mm", "rough_share")


def without_field(image: Tensor, field: Tensor) -> Tensor:
    """A normalised image divided by the field of its coil.

    Args:
        image: ``BACKGROUND`` outside the brain.
        field: the shape of ``image``, positive.
    """
    brain = image > BACKGROUND
    corrected = (image - BACKGROUND) / field + BACKGROUND
    return torch.where(brain, corrected.clamp(min=BACKGROUND + 1e-3), BACKGROUND)


class FieldFreeInferer(Inferer):
    """Search a scan, take the field of its coil out, and search it again.

    N4 takes a lesion's brightness for the coil's, so it does not look where the first search scores above the lowest
    threshold. A weak field is left as it is: it does less harm than what N4 makes of the lesions that the first search
    has missed.

    Args:
        inferer: that finds lesions, such as :py:class:`bundle.model.inferer.IterativeMaskInferer`.
        correction: "two_pass"; "n4" to look everywhere, with no first search; or "none", to be ``inferer`` itself.
        volume_score: transform that makes the ``score`` of slices that of the volume, such as
            :py:class:`bundle.postprocessing.VolumeScored`.
        field: settings of :py:func:`bundle.preprocessing.coil_field.coil_field`; and ``fade_spread``: up to which
            standard deviation of its logarithm in the brain nothing of the field is taken out, and from which on all
            is. Between them a share of its logarithm is. A field whose spread is below ``rough_share`` of the first of
            them already in voxels of ``rough_mm``, a tenth of the work, is not looked for any further.
        percentile: of the brain's intensities that is +3 again after the correction.

    What is found gains ``coil_field``, the shape of the image, unless nothing was corrected. A model without a judge
    marks nothing by a score, and is left as it is.
    """

    def __init__(
        self, inferer: Inferer, correction: str, volume_score: Callable, field: Mapping[str, Any], percentile: float
    ) -> None:
        self.inferer = inferer
        self.correction = correction
        self.volume_score = volume_score
        self.fade_spread = [float(spread) for spread in field["fade_spread"]]
        self.rough = {"mm": float(field["rough_mm"])}
        self.rough_share = float(field["rough_share"])
        self.field = {name: value for name, value in field.items() if name not in OF_THE_TWO_SEARCHES}
        self.percentile = percentile

    def _suspect(self, image: Any, found: Mapping[str, Any], number: int) -> np.ndarray:
        """Where the first search scores above the lowest threshold in one of the volumes: bool, H x W x D."""
        scored = self.volume_score({"image": image, "score": torch.as_tensor(found["score"])[number]})["score"]
        threshold = float(found["refinement"]["lesion_threshold"][number])
        return (torch.as_tensor(scored)[0] > threshold).cpu().numpy()

    def _taken_out(self, signal: np.ndarray, brain: np.ndarray, used: np.ndarray, spacing: list[float]) -> np.ndarray:
        """The part of the field that is taken out, by its spread."""
        rough = coil_field(signal, brain, used, spacing, **{**self.field, **self.rough})
        if np.log(rough[brain]).std() < self.rough_share * self.fade_spread[0]:
            return np.ones_like(signal)
        field = coil_field(signal, brain, used, spacing, **self.field)
        return field ** np.float32(np.interp(np.log(field[brain]).std(), self.fade_spread, (0.0, 1.0)))

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """See :py:class:`bundle.model.inferer.IterativeMaskInferer`."""
        if self.correction == "none":
            return self.inferer(inputs, network, *args, **kwargs)
        first = self.inferer(inputs, network, *args, **kwargs) if self.correction == "two_pass" else None
        if first is not None and "score" not in first:
            return first
        fields = []
        for number, image in enumerate(inputs):
            volume = torch.as_tensor(image)[0].cpu()
            brain = (volume > BACKGROUND).numpy()
            signal = ((volume - BACKGROUND) / (-2 * BACKGROUND)).numpy()
            spacing = [float(mm) for mm in affine_to_spacing(torch.as_tensor(image.affine).reshape(-1, 4, 4)[0])]
            if first is None:
                field = coil_field(signal, brain, brain, spacing, **self.field)
            else:
                used = brain & ~self._suspect(image, first, number)
                field = self._taken_out(signal, brain, used, spacing)
            if (field != 1).any():
                # the percentile of the brain's signal is 1 again
                field[brain] *= np.percentile(signal[brain] / field[brain], self.percentile)
            fields.append(torch.from_numpy(field)[None])
        if first is not None and all(bool((field == 1).all()) for field in fields):
            return first
        whole = torch.stack(fields).to(inputs.device)
        corrected = convert_to_dst_type(without_field(torch.as_tensor(inputs), whole), inputs)[0]
        found = self.inferer(corrected, network, *args, **kwargs)
        if first is not None:
            found["refinement"]["seconds"] = found["refinement"]["seconds"] + first["refinement"]["seconds"]
        return {**found, COIL_FIELD: convert_to_dst_type(whole, inputs)[0]}


class TakeFieldOutd(MapTransform):
    """Give the image as the second search saw it, where there was one.

    Args:
        keys: of the preprocessed image.

    The image keeps the field in its meta data as ``COIL_FIELD``; ``refinement`` gains ``coil_field_spread``, the
    standard deviation of its logarithm in the brain.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if COIL_FIELD in d:
            for key in self.key_iterator(d):
                image = torch.as_tensor(d[key])
                field = torch.as_tensor(d[COIL_FIELD]).to(image.device)
                d[key] = convert_to_dst_type(without_field(image, field), d[key])[0]
                d[key].meta[COIL_FIELD] = field
                spread = float(field[image > BACKGROUND].log().std())
                d["refinement"] = {**d["refinement"], "coil_field_spread": spread}
        return d
