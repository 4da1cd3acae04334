# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The last station of a scan: its results are written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, SaveImaged

from bundle.cases.case import CaseFolder


class SaveCased(SaveImaged):
    """Write the volumes and the statistics of a case into a folder of its own, whole or not at all.

    A kind of ``SaveImaged``, so that MONAI Label, which does its own saving, leaves it out.

    Args:
        keys: of the volumes to write, in the grid of the scan.
        output_dir: the folder of the case is made in it, named as the case is.
        postfixes: one per key: what the volume is called in the folder, see ``bundle.cases.case.VOLUMES``.
        dtypes: one per key: the type that is written.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        postfixes: Sequence[str],
        dtypes: Sequence[str],
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.postfixes = postfixes
        self.dtypes = dtypes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        keys = self.key_iterator(d, self.postfixes, self.dtypes)
        volumes = ((name, d[key], dtype) for key, name, dtype in keys)
        CaseFolder(self.output_dir / d["case"]).write_results(volumes, d["statistics"])
        return d
