# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The volumes of a case, loaded by MONAI's transforms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import LoadImaged, MapTransform

from bundle.data.volumes import check_label, read_on_grid, read_volume
from bundle.errors import InputError

# where a NIfTI header says that the voxels lie, in which units, and along which axis they were acquired
PLACE = (
    *("dim", "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "dim_info"),
)
# meta data: these fields by name, as the file has them; transforms change the ones beside them
HEADER = "header_of_scan"

# keys of lesion masks that somebody drew
EXPERTS = ("label", "pseudo_label")


class LoadVolumed(LoadImaged):
    """Load one 3D volume a key, channel first, and refuse unusable ones in one clear sentence.

    See :py:func:`bundle.data.volumes.read_volume`. All keys must lie on the grid of the first one; where their axes
    are turned, they are turned back. A kind of ``LoadImaged``, because MONAI Label looks for one. The data gain
    ``warnings``: what the reader of the first key says, one sentence a line. ``series`` in the data chooses one of the
    DICOM series of the first key.

    Args:
        keys: of the paths, the image first.
        allow_missing_keys: whether keys other than the first may be missing.

    Raises:
        InputError: when a volume is missing, unreadable, not 3D, not finite, without position, constant (the first
            key) or on another grid than the first one, or a lesion mask has other values than whole numbers from 0 on
            or marks most of the image.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        # not that of LoadImaged, which registers readers that are not used
        MapTransform.__init__(self, keys, allow_missing_keys)
        # MONAI Label sets image_only on it
        self._loader = SimpleNamespace(image_only=True)  # type: ignore[assignment]

    def __call__(self, data: Mapping[Hashable, Any], reader: Any = None) -> dict[Hashable, Any]:
        d = dict(data)
        first: MetaTensor | None = None
        for key in self.key_iterator(d):
            path = d[key]
            if first is None:
                first = d[key] = read_volume(path, str(key), str(d.get("series") or ""))
                d["warnings"] = first.meta["read_warnings"]
                if float(first.min()) == float(first.max()):
                    raise InputError(
                        f"{path}: the {key} is empty (every voxel is {float(first.min()):g}); export it again."
                    )
            else:
                d[key] = read_on_grid(path, str(key), first)
            d[key].meta[HEADER] = {name: np.array(d[key].meta[name]) for name in PLACE if name in d[key].meta}
            if key in EXPERTS:
                check_label(d[key], path, str(key), first)
        return d
