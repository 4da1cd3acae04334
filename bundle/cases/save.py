# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The last station of a scan: its results are written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged

from bundle.cases.run_folder import RunFolder
from bundle.data.loading import HEADER


class SaveCased(SaveImaged):
    """Write the volumes and the statistics of a case into a folder of its own, whole or not at all.

    In a run this is done while the next case is worked on, see :py:meth:`bundle.cases.RunFolder.later`.

    A kind of ``SaveImaged``, so that MONAI Label, which does its own saving, leaves it out.

    Args:
        keys: of the volumes to write.
        run_folder: the folder of the case is made in it, named as the case is.
        postfixes: one per key: what the volume is called in the folder, see ``bundle.cases.case.VOLUMES``.
        dtypes: one per key: the type that is written.
        to_scan: takes the volumes of its own keys to the grid of the scan; a large scan fits into memory because this
            is done when they are written, one after the other. The others are in that grid already.
        image_key: of the preprocessed scan, with the header of the scan in its meta data.
    """

    def __init__(
        self,
        keys: KeysCollection,
        run_folder: RunFolder,
        postfixes: Sequence[str],
        dtypes: Sequence[str],
        to_scan: MapTransform | None = None,
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.run_folder = run_folder
        self.postfixes = postfixes
        self.dtypes = dtypes
        self.to_scan = to_scan
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        keys = list(self.key_iterator(d, self.postfixes, self.dtypes))
        image = d[self.image_key]
        # the rest of the case need not stay in memory until this is written
        results = {key: d[key] for key, *_ in keys}

        def in_scan(key: Hashable) -> MetaTensor:
            volume = results.pop(key)
            if self.to_scan is None or key not in self.to_scan.keys:
                return volume
            return self.to_scan({self.image_key: image, key: volume})[key]

        volumes = ((name, in_scan(key), dtype) for key, name, dtype in keys)
        statistics = {
            **d["statistics"],
            "made_with": self.run_folder.made_with,
            "made_from": self.run_folder.made_from(d["case"]),
        }
        case, header = self.run_folder.case(d["case"]), image.meta.get(HEADER) or {}
        self.run_folder.later(d["case"], lambda: case.write_results(volumes, statistics, header))
        return d
