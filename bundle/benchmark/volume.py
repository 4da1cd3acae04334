# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The volume of a benchmark: that of a user, or a simulated one, so that no data are needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundle.data import inference_data
from bundle.errors import InputError


def volume_of(image: str, brain_mask: str, folder: str, modality: str) -> dict[str, Any]:
    """The entry of one scan, as :py:func:`bundle.data.inference_data` gives it.

    Args:
        image: path of a scan; empty to simulate a patient with a tumour (240 x 240 x 155 voxels of 1 mm).
        brain_mask: of the scan, or empty.
        folder: where the simulated patient is kept for the next time.
        modality: of the scan.

    Raises:
        InputError: when several scans are given.
    """
    if image:
        scans = list(inference_data(image=image, brain_mask=brain_mask, modality=modality))
        if len(scans) > 1 or not isinstance(image, str):
            raise InputError(f"--image {image}: one volume is timed; give one scan.")
        return dict(scans[0])
    from bundle.phantom.cohort import write_cohort

    simulated = {"modality": modality, "training": 0, "validation": 0, "patients": 1, "workers": 1}
    datalist = Path(write_cohort(folder, kinds=("glioma",), **simulated))  # type: ignore[arg-type]
    entry = json.loads(datalist.read_text())["test"][0]
    return {"case": "simulated", "image": str(datalist.parent / entry["image"])}
