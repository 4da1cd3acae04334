# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Further contrasts of a scan, on its grid and prepared as it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.data.volumes import on_grid_of, read_volume
from bundle.errors import InputError
from bundle.preprocessing.contrast_check import ContrastCheckd
from bundle.preprocessing.intensities import BACKGROUND
from bundle.preprocessing.intensity_checks import check_intensities, intensity_warnings
from bundle.preprocessing.plausibility import Limits

# what every reader of a mask from several contrasts has to know
TOGETHER_NOTE = (
    "Several contrasts were used together, which was measured on gliomas of one collection alone (docs/results.md): "
    "compare with the mask from FLAIR alone."
)


class OtherContrastsd(MapTransform):
    """Read further contrasts, bring them to the grid of the scan by their headers, and prepare them as the scan is.

    They are not registered: contrasts of one session lie right, unless the person moved. All have the brain mask of the
    scan; where another contrast shows nothing (its voxels are 0, or it ends), it is left out.

    Args:
        keys: of the scan, loaded, with its brain mask, not yet prepared.
        normalise: what prepares the scan afterwards; is done to each contrast here.
        smallest_overlap: share of the brain that a contrast must show.
        limits: see :py:class:`ContrastCheckd`.
        plausible: see :py:class:`bundle.preprocessing.plausibility.Limits`.
        paths_key: of the paths, a dictionary by the word of ``--modality``; may be missing.
        mask_key: of the brain mask.
        volumes_key: where the prepared volumes go, a dictionary by the same words, 1 x H x W x D each; ``BACKGROUND``
            where nothing is shown.

    Raises:
        InputError: when a contrast cannot be read, shows too little of the brain, or is a mask or standardised.
    """

    def __init__(
        self,
        keys: KeysCollection,
        normalise: Callable,
        smallest_overlap: float,
        limits: Mapping[str, Any],
        plausible: Mapping[str, Any],
        paths_key: str = "others",
        mask_key: str = "brain_mask",
        volumes_key: str = "contrasts",
    ) -> None:
        super().__init__(keys)
        self.normalise = normalise
        self.smallest_overlap = smallest_overlap
        self.limits = dict(limits)
        self.plausible = Limits(**plausible)
        self.paths_key = paths_key
        self.mask_key = mask_key
        self.volumes_key = volumes_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            prepared: dict[str, MetaTensor] = {}
            for name, path in (d.get(self.paths_key) or {}).items():
                read = read_volume(path, f"{name} image")
                volume = on_grid_of(read, d[key])
                shown = (d[self.mask_key] > 0) & (volume > volume.min())
                if shown.any():
                    check_intensities(volume, shown, shown, path, self.plausible)
                prepared[name] = self._prepared(d, key, volume, path)
                check = ContrastCheckd(key, name, self.limits, self.mask_key)
                said = check({key: volume, self.mask_key: d[self.mask_key], "warnings": ""})["warnings"]
                said = [read.meta["read_warnings"], said, *intensity_warnings(volume, shown, True, self.plausible)]
                doubts = [f"{path}: {sentence}" for sentence in said if sentence]
                d["warnings"] = "\n".join(filter(None, [d.get("warnings", ""), *doubts]))
            if prepared:
                d["warnings"] = "\n".join(filter(None, [d.get("warnings", ""), TOGETHER_NOTE]))
            d[self.volumes_key] = prepared
        return d

    def _prepared(self, data: Mapping[Hashable, Any], key: Hashable, volume: MetaTensor, path: str) -> MetaTensor:
        brain = data[self.mask_key].as_tensor() > 0
        shown = brain & (volume.as_tensor() > 0)
        share = float(shown.sum()) / float(brain.sum())
        if share < self.smallest_overlap:
            scan = data[key].meta.get("filename_or_obj", "the scan")
            raise InputError(
                f"{path}: by the headers it shows {100 * share:.0f} % of the brain of {scan}; give images of one "
                "session, or register them first."
            )
        # what is not shown gets values of what is, so that it shifts no percentile
        values, missing = volume.as_tensor()[shown], brain & ~shown
        number = int(missing.sum())
        filled = volume.clone()
        filled[missing] = values.repeat(-(-number // len(values)))[:number]
        seen = MetaTensor(shown.float(), meta=volume.meta, affine=volume.affine)
        image = self.normalise({**data, key: filled})[key]
        if number:
            # normalising takes 0 to -3 and 1 to 3
            seen = self.normalise({**data, key: seen})[key]
            image[seen.as_tensor() <= 0.0] = BACKGROUND
        return image
