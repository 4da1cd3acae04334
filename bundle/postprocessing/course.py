# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The course of the refinement of a volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from bundle.postprocessing.statistics import millilitres_per_voxel


class RefinementTraced(MapTransform):
    """Describe the course of the refinement, before the result leaves the grid of the model.

    Args:
        keys: of the mask that the refinement left.
        max_iterations: the cap on iterations.
        hidden_key: of the iterations for which each voxel was hidden.
        image_key: of the preprocessed image.

    ``refinement`` gains ``iterations`` (of the slice that took most), ``slices``, ``slices_at_cap``, ``cap_reached``,
    ``mask_ml_by_iteration`` (entry t - 1 is the volume hidden at iteration t, on the model's grid), and ``warnings`` a
    sentence where the cap was reached. What was hidden to the end counts, in the iterations for which each voxel was
    hidden, as hidden for all of them, so that these alone tell the whole course.
    """

    def __init__(
        self,
        keys: KeysCollection,
        max_iterations: int,
        hidden_key: str = "hidden_iterations",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.hidden_key = hidden_key
        self.image_key = image_key
        self.max_iterations = max_iterations

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            mask, hidden = torch.as_tensor(d[key]) > 0, torch.as_tensor(d[self.hidden_key])
            millilitres = millilitres_per_voxel(d[self.image_key].affine)
            by_slice = hidden.flatten(0, 2).amax(dim=0)
            iterations = int(by_slice.max())
            hidden = torch.where(mask, iterations, hidden)
            d[self.hidden_key] = convert_to_dst_type(hidden, d[self.hidden_key])[0]
            capped = int((by_slice >= self.max_iterations).sum())
            # how many were hidden for exactly so long, then for at least so long
            exactly = torch.bincount(hidden.flatten().long(), minlength=iterations + 1)
            trace = exactly.flip(0).cumsum(dim=0).flip(0)[1:].tolist()
            d["refinement"] = {
                **d.get("refinement", {}),
                "iterations": iterations,
                "slices": len(by_slice),
                "slices_at_cap": capped,
                "cap_reached": capped > 0,
                "mask_ml_by_iteration": [round(float(voxels) * millilitres, 4) for voxels in trace],
            }
            if capped:
                sentence = (
                    f"{capped} of {len(by_slice)} slices reached the cap of {self.max_iterations} iterations; "
                    "their masks may not have stopped shrinking."
                )
                d["warnings"] = "\n".join(filter(None, [d.get("warnings", ""), sentence]))
        return d
