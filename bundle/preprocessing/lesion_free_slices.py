# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The slices from which a model of healthy anatomy can learn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.preprocessing.placing import FIRST_SLICE


class LesionFreeSlicesd(MapTransform):
    """Keep the slices from which a model of healthy anatomy can learn.

    Args:
        keys: volumes, slices along the last axis; left without any slice where none qualifies.
        margin: slices to leave out on either side of a slice with a lesion.
        smallest_brain: least brain area, as a share of the volume's largest.
        mask_key: of the brain mask.
        label_key: of the lesion mask, which needs to share the slices only, so that it can keep the pixels of the scan
            and the smallest lesion with them; a volume without one is taken for lesion-free.
        slices: first and last slice of the scan to take, counted from 0 at its lowest; None for all.
    """

    def __init__(
        self,
        keys: KeysCollection,
        margin: int,
        smallest_brain: float,
        mask_key: str = "brain_mask",
        label_key: str = "label",
        slices: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.label_key = label_key
        self.margin = margin
        self.smallest_brain = smallest_brain
        self.slices = slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        mask = d[self.mask_key]
        area = torch.as_tensor(mask).sum(dim=(0, 1, 2)).float()
        wanted = area > self.smallest_brain * area.max()
        if self.slices is not None:
            number = torch.arange(len(area)) + mask.meta.get(FIRST_SLICE, 0)
            wanted &= (number >= self.slices[0]) & (number <= self.slices[1])
        label = d.pop(self.label_key, None)
        if label is not None:
            lesion = (torch.as_tensor(label) > 0).any(dim=2).any(dim=1).any(dim=0)
            for z in lesion.nonzero().flatten().tolist():
                wanted[max(0, z - self.margin) : z + self.margin + 1] = False
        for key in self.key_iterator(d):
            d[key] = d[key][..., wanted]
        return d
